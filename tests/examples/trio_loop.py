import anthropic
import resumable
import trio


async def main() -> None:
    async with (
        resumable.wrap(anthropic.AsyncAnthropic()) as client,
        client.messages.stream(
            model="claude-sonnet-5",
            max_tokens=4096,
            messages=[{"role": "user", "content": "Tell me a long story."}],
        ) as stream,
    ):
        async for text in stream.text_stream:
            print(text, end="", flush=True)


trio.run(main)
