"""What callers pass: checked where it comes in, with a word on whose fault it is and what to do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from resumable._core.errors import ConfigurationError
from resumable._core.hold import HOLDABLE
from resumable._policy import RetryPolicy


def checked_client(client: Any, middleware_class: type) -> Any:  # noqa: ANN401  # Reason: it is what the caller passed, whatever it is
    middleware = None if isinstance(client, type) else getattr(client, "middleware", None)
    # Its clients for other platforms have no public class in common; older versions lack some of them.
    if isinstance(middleware, tuple) and hasattr(client, "with_middleware"):
        if any(isinstance(one, middleware_class) for one in middleware):
            remedy = "wrap a client once; for another policy, wrap the client that it was made from"
            raise ConfigurationError(argument="client", problem="it is wrapped already", remedy=remedy)
        return client
    what = f"the class {client.__name__}" if isinstance(client, type) else f"of type {type(client).__name__}"
    remedy = "pass anthropic.Anthropic(), anthropic.AsyncAnthropic() or the SDK's client for another platform"
    problem = f"it is {what}, no client of the SDK's"
    raise ConfigurationError(argument="client", problem=problem, remedy=remedy)


def checked_policy(policy: Any) -> RetryPolicy:  # noqa: ANN401  # Reason: it is what the caller passed
    if policy is not None and not isinstance(policy, RetryPolicy):
        problem = f"{type(policy).__name__} is no RetryPolicy"
        raise ConfigurationError(argument="policy", problem=problem, remedy="pass a RetryPolicy")
    return policy or RetryPolicy()


def check_callback(on_recovery: Any) -> None:  # noqa: ANN401  # Reason: it is what the caller passed
    if on_recovery is not None and not callable(on_recovery):
        problem = f"a {type(on_recovery).__name__} cannot be called"
        remedy = "pass a function of one notice, or None"
        raise ConfigurationError(argument="on_recovery", problem=problem, remedy=remedy)


def checked_hold(hold: Any) -> frozenset[str] | None:  # noqa: ANN401  # Reason: it is what the caller passed
    if hold is None:
        return None
    remedy = f"pass a collection of names out of {', '.join(HOLDABLE)}"
    if isinstance(hold, str):
        raise ConfigurationError(argument="hold", problem="a single string", remedy=remedy)
    if not isinstance(hold, Collection):
        problem = f"{type(hold).__name__} is no collection of names"
        raise ConfigurationError(argument="hold", problem=problem, remedy=remedy)
    unknown = sorted(str(name) for name in hold if name not in HOLDABLE)
    if unknown:
        raise ConfigurationError(argument="hold", problem=f"unknown: {', '.join(unknown)}", remedy=remedy)
    return frozenset(hold)
