import anthropic
import resumable

client = resumable.wrap(anthropic.Anthropic())

with client.messages.stream(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    message = stream.get_final_message()
assert message.stop_reason == "end_turn"
