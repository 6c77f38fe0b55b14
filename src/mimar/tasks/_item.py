from __future__ import annotations

from dataclasses import dataclass

from mimar.errors import InputError
from mimar.formats import require_characters


@dataclass(frozen=True)
class Item:
    """One question with its choices; `answer` counts from 0.

    InputError without a question, with fewer than two choices, a blank choice, an answer that is none of them, or text
    that UTF-8 cannot hold.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str = ""

    def __post_init__(self) -> None:
        for text in self._texts():
            require_characters(text)
        if not self.question.strip():
            raise InputError('expected a "question" with text in it, got a blank one')
        if len(self.choices) < 2:
            raise InputError(f'expected at least two "choices", got {len(self.choices)}')
        if not all(choice.strip() for choice in self.choices):
            raise InputError('expected "choices" with text in them, got a blank one')
        if not 0 <= self.answer < len(self.choices):
            raise InputError(f'expected an "answer" from 0 to {len(self.choices) - 1}, got {self.answer}')

    def _texts(self) -> tuple[str, ...]:
        return (self.id, self.question, self.subject, *self.choices)
