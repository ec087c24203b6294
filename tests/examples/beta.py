import anthropic
import resumable
import tenacity

policy = resumable.RetryPolicy(overloaded=tenacity.wait_fixed(0.01))
client = resumable.wrap(anthropic.Anthropic(), policy=policy)

with client.beta.messages.stream(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Tell me a long story."}],
    betas=["context-1m-2025-08-07"],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
