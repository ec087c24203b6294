import asyncio

import anthropic
import resumable


async def main() -> None:
    bare = anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient())
    async with (
        resumable.wrap(bare) as client,
        client.messages.stream(
            model="claude-sonnet-5",
            max_tokens=4096,
            messages=[{"role": "user", "content": "Tell me a long story."}],
        ) as stream,
    ):
        async for text in stream.text_stream:
            print(text, end="", flush=True)


asyncio.run(main())
