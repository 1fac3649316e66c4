"""How long a client waits between tries of one thing, and when it gives up."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from stt_client.codes import Action
from stt_client.errors import STTClientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait between tries, and when to give up. All in seconds; give-up times of 0 mean a single try."""

    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    give_up_seconds: float = 60.0
    first_contact_seconds: float = 5.0
    """Give-up time until the server has answered once: a wrong address should not look like a slow server."""

    def delay(self, failures: int, retry_after: float = 0.0) -> float:
        """Wait after so many failures in a row (from 1), jittered so that clients do not come back in step."""
        backoff = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return retry_after + backoff * random.uniform(0.5, 1.0)


class Retries:
    """Waits between tries of one thing, and raises when nothing has worked for too long."""

    def __init__(self, policy: RetryPolicy, answered: Callable[[], bool]) -> None:
        self._policy = policy
        self._answered = answered
        self._failures = 0
        self._since = 0.0

    def reset(self) -> None:
        """Something has worked: the give-up time starts anew."""
        self._failures = 0

    async def wait(self, error: STTClientError) -> None:
        """Wait before another try. Raises ``error`` when there should be none."""
        now = asyncio.get_running_loop().time()
        if error.action is Action.WAIT:
            self.reset()
        if not self._failures:
            self._since = now
        self._failures += 1
        delay = self._policy.delay(self._failures, error.retry_after)
        give_up = self._policy.give_up_seconds if self._answered() else self._policy.first_contact_seconds
        waits = error.action is Action.WAIT or now + delay <= self._since + give_up
        if not (error.retryable and waits):
            raise error
        await asyncio.sleep(delay)
