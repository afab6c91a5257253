"""Work: what one answer still asks of its server, in tokens."""

import time
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Work:
    """Tokens that are still to be read and to be written, as far as is known here.

    Attributes:
        prompt: to be read; none any more once the model says something.
        answer: that may be written still: what was asked for, less what came.
        began_at: by ``time.monotonic()``.
    """

    prompt: int
    answer: int
    began_at: float = field(default_factory=time.monotonic)

    @property
    def tokens(self) -> int:
        """All that is outstanding."""
        return self.prompt + self.answer

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began_at

    def fitted(self, prompt: int, answer: int) -> None:
        """The prompt is made, so that its size is known better, and the answer's limit; nothing of either is done."""
        self.prompt, self.answer = prompt, answer

    def heard(self) -> None:
        """A piece of the answer came."""
        self.prompt, self.answer = 0, max(0, self.answer - 1)
