import anthropic
import resumable

client = resumable.wrap(anthropic.Anthropic())
thread = client.beta.messages.thread(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
)
with thread.stream() as stream:
    first = stream.get_final_message()
with thread.stream({"role": "user", "content": "And then?"}) as stream:
    second = stream.get_final_message()
print(first.stop_reason, second.stop_reason, len(thread.messages))
