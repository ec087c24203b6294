import anthropic
import resumable

client = resumable.wrap(anthropic.AnthropicBedrock(aws_region="us-east-1"))

with client.messages.stream(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
