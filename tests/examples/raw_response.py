import anthropic
import resumable

client = resumable.wrap(anthropic.Anthropic())

response = client.messages.with_raw_response.create(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
    stream=True,
)
events = list(response.parse())
print(events[0].type, events[-1].type, response.http_response.headers["resumable-attempts"])
