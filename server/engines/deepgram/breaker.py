"""A circuit breaker: what keeps failing is avoided for a while, then one try decides. No asyncio, no I/O."""

import time
from collections.abc import Callable
from typing import Literal

Circuit = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Opens after ``failures`` failed tries in a row, for ``cool_down`` seconds; then one try decides.

    It forbids nothing: a session that has no other engine tries all the same. Every :meth:`begin` is followed by one
    of :meth:`succeeded`, :meth:`failed` and :meth:`abandoned`, which are told whether it was the try that decides.
    """

    def __init__(self, failures: int, cool_down: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason: str | None = None
        """The newest failure, in one sentence; ``None`` while there is nothing to complain about."""
        self._most = failures
        self._cool_down = cool_down
        self._clock = clock
        self._failures = 0
        self._opens_until: float | None = None
        self._probing = False

    @property
    def circuit(self) -> Circuit:
        """``half_open``: the next try decides. While it is under way the circuit is open for everyone else."""
        if self._opens_until is None:
            return "closed"
        return "open" if self._probing or self._clock() < self._opens_until else "half_open"

    def begin(self) -> bool:
        """A try begins; true if it is the one that decides."""
        decides = self.circuit == "half_open"
        self._probing = self._probing or decides
        return decides

    def succeeded(self) -> None:
        self._failures = 0
        self._opens_until = None
        self._probing = False
        self.reason = None

    def failed(self, reason: str, *, decides: bool, for_good: bool = False) -> bool:
        """Count a failure; true if it has opened the circuit.

        ``for_good``: the next try will most likely fail too. The circuit opens at once, for ten times as long.
        """
        if self.circuit != "closed" and not decides:  # a try that began before, or in spite of it
            return False
        self._failures += 1
        self.reason = reason
        opens = for_good or decides or self._failures >= self._most
        if opens:
            self._opens_until = self._clock() + self._cool_down * (10 if for_good else 1)
        self._probing = False
        return opens

    def abandoned(self, *, decides: bool) -> None:
        """The try was given up before it showed anything."""
        if decides:
            self._probing = False


class Attempt:
    """One try, which tells the breaker once how it went."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._decides = breaker.begin()
        self._over = False

    def prove(self) -> None:
        """The try has succeeded. What breaks the connection later says nothing about the next one."""
        if not self._over:
            self._over = True
            self._breaker.succeeded()

    def fail(self, reason: str, *, for_good: bool = False) -> bool:
        """True if this has opened the circuit."""
        if self._over:
            return False
        self._over = True
        return self._breaker.failed(reason, decides=self._decides, for_good=for_good)

    def end(self) -> None:
        if not self._over:
            self._breaker.abandoned(decides=self._decides)
