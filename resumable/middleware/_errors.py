"""Errors that are both ours and the SDK's, so that the handlers callers have today still catch them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic

from resumable._core.errors import (
    ConnectError,
    RecoveryError,
    StreamStalledError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._report import EXTENSION

if TYPE_CHECKING:
    from resumable._core.errors import AttemptError
    from resumable._sdk import httpx

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Amazon's exceptions inside a stream, with the status that they have before one.
    "throttlingexception": 429,
    "validationexception": 400,
    "modeltimeoutexception": 408,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
# Newer SDKs have a class per status; where one is missing, its base is what callers can catch.
_NAMES_OF_STATUS = {
    400: ("BadRequestError",),
    401: ("AuthenticationError",),
    402: ("PaymentRequiredError",),
    403: ("PermissionDeniedError",),
    404: ("NotFoundError",),
    408: ("RequestTimeoutError",),
    409: ("ConflictError",),
    413: ("ContentTooLargeError", "RequestTooLargeError"),
    422: ("UnprocessableEntityError",),
    429: ("RateLimitError",),
    503: ("ServiceUnavailableError", "InternalServerError"),
    504: ("GatewayTimeoutError", "DeadlineExceededError", "InternalServerError"),
    529: ("OverloadedError", "InternalServerError"),
}


def class_for(failure: AttemptError | None) -> type[anthropic.APIError]:
    """Give the SDK's class for a failure."""
    if isinstance(failure, UpstreamStatusError):
        return _class_of_status(failure.status)
    if isinstance(failure, UpstreamEventError):
        return _class_of_status(_STATUS_OF_TYPE.get((failure.error_type or "").lower(), 0))
    if isinstance(failure, StreamStalledError) or (isinstance(failure, ConnectError) and failure.is_timeout):
        return anthropic.APITimeoutError
    return anthropic.APIConnectionError


def _class_of_status(status: int) -> type[anthropic.APIStatusError]:
    for name in _NAMES_OF_STATUS.get(status, ()):
        found = getattr(anthropic, name, None)
        if isinstance(found, type) and issubclass(found, anthropic.APIStatusError):
            return found
    return anthropic.InternalServerError if status >= 500 else anthropic.APIStatusError  # noqa: PLR2004  # Reason: HTTP's own


_combined: dict[tuple[type, type], type[RecoveryError]] = {}


def _both(ours: type[RecoveryError], theirs: type[anthropic.APIError]) -> type[RecoveryError]:
    """Make the class that is both, once; its sentence and facts are ours."""
    if (ours, theirs) not in _combined:
        _combined[ours, theirs] = _combine(ours, theirs)
    return _combined[ours, theirs]


def _combine(ours: type[RecoveryError], theirs: type[anthropic.APIError]) -> type[RecoveryError]:
    return type(ours.__name__, (_Both, ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


class _Both:
    """What the combined classes add: they are rebuilt from their two parents when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        _, ours, theirs = type(self).__bases__
        state = {name: value for name, value in self.__dict__.items() if name not in {"request", "response"}}
        return _rebuilt, (ours, theirs, getattr(self, "args", ())), state


def _rebuilt(ours: type[RecoveryError], theirs: type[anthropic.APIError], args: tuple[Any, ...]) -> RecoveryError:
    both = _both(ours, theirs)
    error = both.__new__(both)
    error.args = args
    return error


def as_sdk_error(error: RecoveryError, response: httpx.Response, answer: httpx.Response) -> RecoveryError:
    """
    Make the error that leaves a stream: *error*'s facts, and also an instance of the SDK's class.

    Args:
        error: The session's.
        response: The one that the caller got; its report goes on as `report`.
        answer: The last that upstream gave; where it is not the one that *error* is about, *response* is.
    """
    theirs: Any = class_for(error.last)
    combined: Any = _rebuilt(type(error), theirs, error.args)
    sentence = str(error)
    status = getattr(error.last, "status", response.status_code)
    # The SDK's own constructors, so that every attribute of the installed version is there.
    if issubclass(theirs, anthropic.APIStatusError):
        its_own = answer if answer.status_code == status else response
        theirs.__init__(combined, sentence, response=its_own, body=_body_of(error.last, its_own))
    else:
        anthropic.APIError.__init__(combined, sentence, response.request, body=None)
    facts = {"status_code": status} if issubclass(theirs, anthropic.APIStatusError) else {}
    combined.__dict__.update(facts | {"report": response.extensions.get(EXTENSION)} | error.__dict__)
    combined.args = error.args
    made: RecoveryError = combined
    return made


def _body_of(failure: AttemptError | None, answer: httpx.Response) -> object:
    """Give what the SDK calls the body of an error: JSON where it is some, else text; `None` where it was not kept."""
    if isinstance(failure, UpstreamEventError):
        lines = [line[5:].strip() for line in failure.frame.splitlines() if line.startswith(b"data:")]
        raw = b"\n".join(lines)
    elif isinstance(failure, UpstreamStatusError) and failure.status == answer.status_code:
        raw = answer.content
    else:
        return None
    try:
        body: object = json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
    return body
