"""
Generated documents for the seam benchmark: what answers look like, from seeded grammars.

A document is a pure function of its kind and a `random.Random`. Words come from a fixed list
and from syllables, so that two seeds share grammar but hardly a sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


def _words(text: str) -> list[str]:
    return text.split()


_COMMON: Final = _words("""
    the of and to in is it for with that as on by this from are be or an at which has not can when if
    will more one all into its than may other some these been each most then only over such also after
    between through where while because before during without against under about there their
""")
_ONSETS: Final = _words("b bl br c ch cl cr d dr f fl g gl gr h j k l m n p pl pr qu r s sc sh sl sp st t th tr v w")
_NUCLEI: Final = _words("a e i o u ai ea ee ie oa ou")
_CODAS: Final = _words("b ck d ft g l ll m n nd ng nt p r rd rk rm rt s sh ss st t th ve x")
_HAN: Final = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分"
    "对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
)
_KANA: Final = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
_HANGUL: Final = "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후"
_EMOJI: Final = _words("😀 😂 🥳 🚀 🌍 🔥 🎉 👍🏽 👩‍💻 👨‍👩‍👧‍👦 ❤️ ☕️ 🏳️‍🌈 🇩🇪 🇯🇵 ✨ 🧪 📦 🐍 🛠️")


class _Vocabulary:
    """The words of one document."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._rare = [self._invent() for _ in range(120)]

    def _invent(self) -> str:
        syllables = self._chance.choice((1, 1, 2, 2, 2, 3))
        return "".join(self._chance.choice(_ONSETS) + self._chance.choice(_NUCLEI) for _ in range(syllables)) + (
            self._chance.choice(_CODAS)
        )

    def word(self) -> str:
        return self._chance.choice(_COMMON) if self._chance.random() < 0.45 else self.noun()

    def noun(self) -> str:
        return self._chance.choice(self._rare)

    def name(self) -> str:
        return "_".join(self.noun() for _ in range(self._chance.choice((1, 1, 2))))

    def sentence(self, low: int = 5, high: int = 22) -> str:
        chance = self._chance
        words = [self.word() for _ in range(chance.randint(low, high))]
        for i in range(2, len(words) - 1):
            draw = chance.random()
            if draw < 0.06:
                words[i] += ","
            elif draw < 0.08:
                words[i] = f"“{words[i]}”"
            elif draw < 0.10:
                words[i] = f'"{words[i]}"'
            elif draw < 0.115:
                words[i] = words[i] + "'s"
            elif draw < 0.125:
                words[i] += " —"
            elif draw < 0.14:
                words[i] = f"({words[i]} {chance.randint(2, 4000)})"
        return words[0].capitalize() + " " + " ".join(words[1:]) + chance.choice(".......?!")

    def paragraph(self, low: int = 2, high: int = 6) -> str:
        return " ".join(self.sentence() for _ in range(self._chance.randint(low, high)))


def _prose(chance: Random) -> str:
    words = _Vocabulary(chance)
    return "\n\n".join(words.paragraph() for _ in range(6))


def _markdown(chance: Random) -> str:
    words = _Vocabulary(chance)
    parts: list[str] = []
    for section in range(4):
        parts.append(f"{'#' * chance.randint(1, 3)} {words.sentence(2, 5)[:-1]}")
        parts.append(words.paragraph(1, 3))
        draw = chance.random()
        if draw < 0.5:
            marks = chance.choice(("- ", "* ", "1. "))
            items = [words.sentence(3, 9) for _ in range(chance.randint(3, 6))]
            parts.append(
                "\n".join(
                    f"{f'{n}. ' if marks == '1. ' else marks}**{item.split()[0]}** {item}"
                    for n, item in enumerate(items, 1)
                )
            )
        elif draw < 0.8:
            parts.append("> " + words.sentence() + "\n> " + words.sentence())
        else:
            parts.append(f"See `{words.name()}` and [{words.noun()}](https://example.org/{words.noun()}/{section}).")
    return "\n\n".join(parts)


def _function(words: _Vocabulary, chance: Random) -> str:
    first, second = words.name(), words.name()
    lines = [f"def {words.name()}({first}, {second}=None):"]
    if chance.random() < 0.5:
        lines.append(f'    """{words.sentence(3, 8)}"""')
    for _ in range(chance.randint(2, 6)):
        draw = chance.random()
        if draw < 0.3:
            lines += [f"    for {words.noun()} in {first}:", f"        {second}.append({words.noun()}({first}))"]
        elif draw < 0.5:
            lines += [f"    if {first} is None:", "        return None"]
        elif draw < 0.6:
            lines.append(f"    # {words.sentence(3, 8)}")
        elif draw < 0.8:
            lines.append(
                f"    {words.name()} = {second}[{chance.randint(0, 99)}] + {first}.{words.noun()}('{words.noun()}')"
            )
        else:
            lines += ["    try:", f"        {words.name()}({first})", "    except ValueError:", "        pass"]
    lines.append(f"    return {second}")
    return "\n".join(lines)


def _code(chance: Random) -> str:
    words = _Vocabulary(chance)
    head = "\n".join(f"import {words.noun()}" for _ in range(3))
    return head + "\n\n\n" + "\n\n\n".join(_function(words, chance) for _ in range(7)) + "\n"


def _fenced(chance: Random) -> str:
    words = _Vocabulary(chance)
    parts = []
    for _ in range(4):
        parts.append(words.paragraph(1, 2))
        parts.append(f"```{chance.choice(('python', 'python', 'text', ''))}\n{_function(words, chance)}\n```")
    return "\n\n".join(parts)


def _table(chance: Random) -> str:
    words = _Vocabulary(chance)
    states = [words.noun() for _ in range(3)]
    rows = [
        f"| {n} | {words.noun()} {words.noun()} | {chance.choice(states)} | {chance.randint(0, 9)} |"
        for n in range(1, 41)
    ]
    head = words.sentence() + "\n\n| # | name | state | count |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n\n" + words.paragraph()


def _list_of_numbers(chance: Random) -> str:
    rows = []
    for _ in range(110):
        date = f"2026-{chance.randint(1, 3):02d}-{chance.randint(1, 28):02d}"
        rows.append(f"{date},{chance.randint(0, 9)},{chance.choice(('ok', 'failed'))},0.{chance.randint(0, 9)}0")
    return "\n".join(rows)


def _refrain(chance: Random) -> str:
    words = _Vocabulary(chance)
    refrain = "\n".join(words.sentence(4, 8) for _ in range(3))
    return "\n\n".join(words.sentence(5, 9) + "\n" + words.sentence(5, 9) + "\n" + refrain for _ in range(9))


def _periodic(chance: Random) -> str:
    words = _Vocabulary(chance)
    if chance.random() < 0.5:
        row = f"| {words.noun()} | {words.noun()} | {chance.randint(0, 9)} |\n"
    else:
        row = words.sentence(3, 9) + chance.choice((" ", "\n"))
    return row * (2600 // len(row))


def _cjk(chance: Random) -> str:
    letters, stop = chance.choice(((_HAN, "。"), (_HAN, "。"), (_HAN + _KANA * 2, "。"), (_HANGUL, ". ")))
    parts = []
    for _ in range(7):
        sentences = []
        for _ in range(chance.randint(2, 6)):
            count = chance.randint(6, 30)
            text = "".join(
                chance.choice(letters) + (" " if letters is _HANGUL and chance.random() < 0.3 else "")
                for _ in range(count)
            )
            comma = chance.randint(2, count - 2)
            sentences.append(
                text[:comma].strip() + ("，" if letters is not _HANGUL else ", ") + text[comma:].strip() + stop
            )
        parts.append("".join(sentences).strip())
    return "\n\n".join(parts)


def _emoji(chance: Random) -> str:
    words = _Vocabulary(chance)
    lines = []
    for _ in range(40):
        text = words.sentence(2, 9)
        draw = chance.random()
        if draw < 0.4:
            lines.append(chance.choice(_EMOJI) + " " + text)
        elif draw < 0.8:
            lines.append(text + " " + "".join(chance.choice(_EMOJI) for _ in range(chance.randint(1, 4))))
        else:
            lines.append(" ".join(chance.choice(_EMOJI) for _ in range(chance.randint(3, 12))))
    return "\n".join(lines)


KINDS: Final[dict[str, Callable[[Random], str]]] = {
    "prose": _prose,
    "markdown": _markdown,
    "code": _code,
    "fenced code": _fenced,
    "table": _table,
    "numbers": _list_of_numbers,
    "refrain": _refrain,
    "periodic": _periodic,
    "cjk": _cjk,
    "emoji": _emoji,
}
"""Name to generator."""
