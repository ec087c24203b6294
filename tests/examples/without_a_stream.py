import anthropic
import resumable

client = resumable.wrap(anthropic.Anthropic(max_retries=2))

message = client.messages.create(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a story."}],
)
print(message.stop_reason)
