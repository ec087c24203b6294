import anthropic
import resumable


@anthropic.beta_tool
def get_weather(city: str) -> str:
    """
    Say what the weather is.

    Args:
        city: Where.
    """
    return f"Sunny in {city}."


client = resumable.wrap(anthropic.Anthropic())
runner = client.beta.messages.tool_runner(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "How is the weather in Kyiv?"}],
    tools=[get_weather],
    stream=True,
)
for stream in runner:
    print(stream.get_final_message().stop_reason)
