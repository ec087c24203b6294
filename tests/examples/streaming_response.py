import anthropic
import resumable

client = resumable.wrap(anthropic.Anthropic())

with client.messages.with_streaming_response.create(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
    stream=True,
) as response:
    lines = list(response.iter_lines())
print(lines.count("event: message_start"), lines.count("event: message_stop"))
