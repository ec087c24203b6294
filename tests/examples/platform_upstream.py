import anthropic
import resumable
from resumable.testing import ErrorEvent, ScriptedUpstream

with ScriptedUpstream("text", [ErrorEvent("modelStreamErrorException", after=9)]) as upstream:
    bare = anthropic.AnthropicBedrock(
        base_url=upstream.url, aws_region="us-east-1", aws_access_key="any", aws_secret_key="any"
    )
    client = resumable.wrap(bare)
    with client.messages.stream(
        model="claude-sonnet-5",
        max_tokens=4096,
        messages=[{"role": "user", "content": "Tell me a long story."}],
    ) as stream:
        text = stream.get_final_text()
    print(text == upstream.expected_text("Tell me a long story."), [one.platform for one in upstream.log])
