"""
The SDK's own tests that fail with our middleware in every client, each with its reason.

Every other failure is a bug of ours, and a test here that passes has no place here any more: `runner` says both.
A test is named as pytest names it, without its parameters.
"""

from __future__ import annotations

_MIDDLEWARE = "tests.test_middleware."
_TRACING = "tests.test_tracing::"
_STREAMING = "tests.lib.streaming."

_TUPLE = "one middleware more than the test expects"
_REPLACED = "the `GET` asks for httpx2's own response, which the SDK does not retry once there is a middleware"
_UNENDED = "`message_stop` arrives, whose frame lacks its blank line at the end of the file"
_HELD = f"{_UNENDED}; a tool's input arrives whole"
_NO_END = "the stream has no `message_stop` at all: it is continued, and the test has one answer only"

EXCEPTIONS: dict[str, dict[str, str]] = {
    "Tests that compare the tuple of middleware itself.": {
        f"{_MIDDLEWARE}{name}": _TUPLE
        for name in (
            "TestAsyncMiddleware::test_construction_accepts_async_middleware",
            "TestAsyncMiddleware::test_copy_inherits_replaces_and_clears_middleware",
            "TestAsyncMiddleware::test_middleware_iterator_argument_runs_middleware",
            "TestAsyncMiddleware::test_no_middleware_behavior_unchanged",
            "TestAsyncMiddleware::test_with_middleware_client_runs_appended_middleware_innermost",
            "TestLibClientMiddleware::test_async_lib_clients_copy_inherits_replaces_and_clears",
            "TestLibClientMiddleware::test_foundry_clients_accept_middleware",
            "TestLibClientMiddleware::test_lib_clients_copy_inherits_replaces_and_clears",
            "TestMiddlewareProperty::test_exposes_configured_middleware",
            "TestMiddlewareProperty::test_with_options_append_idiom",
            "TestMiddlewareValidation::test_async_client_accepts_async_callable_object",
            "TestMiddlewareValidation::test_sync_client_accepts_sync_callable_object",
            "TestSyncMiddleware::test_construction_accepts_sync_middleware",
            "TestSyncMiddleware::test_copy_inherits_replaces_and_clears_middleware",
            "TestSyncMiddleware::test_middleware_iterator_argument_runs_middleware",
            "TestSyncMiddleware::test_no_middleware_behavior_unchanged",
            "TestSyncMiddleware::test_with_middleware_appends_without_mutating_original",
        )
    },
    "Tests of retries that the SDK makes without a middleware, and not with one, whichever it is.": {
        f"{_TRACING}{name}": _REPLACED
        for name in (
            "test_each_request_carries_the_trace_context",
            "test_propagation_env",
            "test_propagation_off_changes_only_the_headers",
            "test_propagation_off_drops_a_span_without_a_valid_context",
            "test_propagation_off_keeps_a_dropped_span_current",
        )
    },
    "Tests that feed a stream which is cut: inside its last frame, or before its end.": {
        f"{_STREAMING}{module}::{name}": why
        for module, name, why in (
            ("test_beta_messages.TestAsyncMessages", "test_basic_response", _UNENDED),
            ("test_beta_messages.TestAsyncMessages", "test_compaction", _UNENDED),
            ("test_beta_messages.TestAsyncMessages", "test_fallback_relabels_model", _UNENDED),
            ("test_beta_messages.TestAsyncMessages", "test_incomplete_response", _HELD),
            ("test_beta_messages.TestAsyncMessages", "test_server_tool_use", _HELD),
            ("test_beta_messages.TestAsyncMessages", "test_tool_use", _HELD),
            ("test_beta_messages.TestAsyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_beta_messages.TestSyncMessages", "test_basic_response", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_compaction", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_fallback_relabels_model", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_server_tool_use", _HELD),
            ("test_beta_messages.TestSyncMessages", "test_tool_use", _HELD),
            ("test_beta_messages.TestSyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_messages.TestAsyncMessages", "test_basic_response", _UNENDED),
            ("test_messages.TestAsyncMessages", "test_server_tool_use", _HELD),
            ("test_messages.TestAsyncMessages", "test_tool_use", _HELD),
            ("test_messages.TestAsyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_messages.TestSyncMessages", "test_basic_response", _UNENDED),
            ("test_messages.TestSyncMessages", "test_server_tool_use", _HELD),
            ("test_messages.TestSyncMessages", "test_tool_use", _HELD),
            ("test_messages.TestSyncMessages", "test_unknown_events_are_passed_through", _NO_END),
        )
    },
    "Tests of another middleware that waits for an error from which ours recovers first.": {
        f"{_MIDDLEWARE}TestSyncMiddleware::test_streaming_error_response_is_visible_to_middleware": (
            "ours stands inside and answers the 529 by asking again, so the outer one never sees it"
        ),
    },
}


def listed() -> set[str]:
    """List the tests of all reasons."""
    return {name for tests in EXCEPTIONS.values() for name in tests}
