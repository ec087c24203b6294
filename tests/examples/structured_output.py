import anthropic
import pydantic
import resumable


class Book(pydantic.BaseModel):
    title: str
    pages: int


client = resumable.wrap(anthropic.Anthropic())
with client.messages.stream(
    model="claude-sonnet-5",
    max_tokens=4096,
    messages=[{"role": "user", "content": "Name a book."}],
    output_format=Book,
) as stream:
    book = stream.get_final_message().parsed_output
assert book is not None
print(type(book).__name__)
