"""
The SDK's own tests that fail with our middleware in every client, each with its reason.

Every other failure is a bug of ours, and a test here that passes has no place here any more: `runner` says both.
A test is named as pytest names it, without its parameters.
"""

from __future__ import annotations

_MIDDLEWARE = "tests.test_middleware."
_TRACING = "tests.test_tracing::"
_STREAMING = "tests.lib.streaming."
_THREAD = "tests.lib.threads.test_beta_threads.TestMessageThread::"
_ASYNC_THREAD = "tests.lib.threads.test_async_beta_threads.TestAsyncMessageThread::"
_THREAD_RUNNER = "tests.lib.threads.test_thread_tool_runner.TestThreadToolRunner::"
_RUNNER = "tests.lib.tools.test_runner_eager_tools::"

_TUPLE = "one middleware more than the test expects"
_REPLACED = "the `GET` asks for httpx2's own response, which the SDK does not retry once there is a middleware"
_UNENDED = "`message_stop` arrives, whose frame lacks its blank line at the end of the file"
_UNSTOPPED = f"ours stops the last block, which upstream left open; {_UNENDED}"
_NO_END = "the stream has no `message_stop` at all: it is continued, and the test has one answer only"
_NO_ANSWER = "a request that gets no answer is sent again, and takes the answer meant for the next turn"
_OVERLOADED = "`overloaded_error` comes first: the request is sent again, and takes the answer meant for the next turn"
_CUT = "the text is cut: it is continued, and the answers that the test has left are no streams"
_STOP_ALONE = "`message_stop` alone is missing: ours writes it, so the thread takes the reply for whole"
_TORN_CALL = "the connection breaks in a call delivered live: no call runs, but the error is ours and not httpx2's"

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
            ("test_beta_messages.TestAsyncMessages", "test_incomplete_response", _UNSTOPPED),
            ("test_beta_messages.TestAsyncMessages", "test_server_tool_use", _UNENDED),
            ("test_beta_messages.TestAsyncMessages", "test_tool_use", _UNENDED),
            ("test_beta_messages.TestAsyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_beta_messages.TestSyncMessages", "test_basic_response", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_compaction", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_fallback_relabels_model", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_server_tool_use", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_tool_use", _UNENDED),
            ("test_beta_messages.TestSyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_messages.TestAsyncMessages", "test_basic_response", _UNENDED),
            ("test_messages.TestAsyncMessages", "test_server_tool_use", _UNENDED),
            ("test_messages.TestAsyncMessages", "test_tool_use", _UNENDED),
            ("test_messages.TestAsyncMessages", "test_unknown_events_are_passed_through", _NO_END),
            ("test_messages.TestSyncMessages", "test_basic_response", _UNENDED),
            ("test_messages.TestSyncMessages", "test_server_tool_use", _UNENDED),
            ("test_messages.TestSyncMessages", "test_tool_use", _UNENDED),
            ("test_messages.TestSyncMessages", "test_unknown_events_are_passed_through", _NO_END),
        )
    },
    "Tests that break a thread's or a tool runner's connection, and want to see it broken.": {
        f"{prefix}{name}": why
        for prefix, name, why in (
            (_THREAD, "test_a_stream_that_ends_after_message_delta_is_still_a_partial_turn", _STOP_ALONE),
            (_ASYNC_THREAD, "test_a_stream_that_ends_before_message_start_takes_the_turn_back", _OVERLOADED),
            (_THREAD, "test_a_stream_that_ends_before_message_start_takes_the_turn_back", _OVERLOADED),
            (_ASYNC_THREAD, "test_a_stream_whose_events_fail_or_run_out_early_frees_the_thread_at_once", _CUT),
            (_THREAD, "test_a_stream_whose_events_fail_or_run_out_early_frees_the_thread_at_once", _CUT),
            (_ASYNC_THREAD, "test_a_turn_that_no_reply_answered_keeps_its_cache_markers", _CUT),
            (_THREAD, "test_a_turn_that_no_reply_answered_keeps_its_cache_markers", _CUT),
            (_ASYNC_THREAD, "test_runner_compacts_a_thread_that_ends_in_a_partial_reply_without_that_reply", _CUT),
            (_THREAD_RUNNER, "test_runner_compacts_a_thread_that_ends_in_a_partial_reply_without_that_reply", _CUT),
            (_ASYNC_THREAD, "test_streaming_runner_whose_stream_fails_leaves_the_thread_free", _CUT),
            (_THREAD_RUNNER, "test_streaming_runner_whose_stream_fails_leaves_the_thread_free", _CUT),
            (_ASYNC_THREAD, "test_unrelated_errors_raise_and_the_same_call_again_sends_the_turn_once", _NO_ANSWER),
            (_THREAD, "test_unrelated_errors_raise_and_the_same_call_again_sends_the_turn_once", _NO_ANSWER),
            (_RUNNER, "test_runs_no_call_once_reading_the_reply_has_failed", _TORN_CALL),
        )
    },
}


def listed() -> set[str]:
    """List the tests of all reasons."""
    return {name for tests in EXCEPTIONS.values() for name in tests}
