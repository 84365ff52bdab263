#include <doctest/doctest.h>

#include "server/control/metrics.h"
#include "unit/control_fake.h"

using namespace server;
using namespace server::control;
using std::chrono::microseconds;
using std::chrono::seconds;

namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("metrics: a label may hold any text, a number is as short as it can be") {
    // Exports have names that people chose, and Prometheus refuses the whole page for one bad line.
    Exposition out;
    out.begin("a_total", "counter", "What it is.");
    out.put({{"export", "q\"b\\n\nl"}, {"op", "read"}}, 1048576);
    out.put({}, 0.25);
    CHECK(out.take() ==
          "# HELP a_total What it is.\n# TYPE a_total counter\n"
          "a_total{export=\"q\\\"b\\\\n\\nl\",op=\"read\"} 1048576\na_total 0.25\n");
}

TEST_CASE("metrics: a histogram's buckets hold all that took no longer, the last one everything") {
    nbd::Durations durations;
    durations.add(microseconds(0));
    durations.add(microseconds(100));  // A bound belongs to its bucket.
    durations.add(microseconds(101));
    durations.add(seconds(60));
    Exposition out;
    out.begin("h", "histogram", "Time.");
    out.put({{"op", "read"}}, durations);
    const std::string text = out.take();
    CHECK(has_line(text, "h_bucket{op=\"read\",le=\"0.0001\"} 2"));
    CHECK(has_line(text, "h_bucket{op=\"read\",le=\"0.00025\"} 3"));
    CHECK(has_line(text, "h_bucket{op=\"read\",le=\"10\"} 3"));
    CHECK(has_line(text, "h_bucket{op=\"read\",le=\"+Inf\"} 4"));
    CHECK(has_line(text, "h_sum{op=\"read\"} 60.000201"));
    CHECK(has_line(text, "h_count{op=\"read\"} 4"));
}

TEST_CASE("metrics: requests are counted by what they asked for, errors by their number") {
    nbd::RequestCounts one;
    one.add(nbd::Command::write_zeroes, nbd::NbdError::none, microseconds(1));
    one.add(nbd::Command::write_zeroes, nbd::NbdError::no_space, microseconds(1));
    one.add(nbd::Command::cache, nbd::NbdError::invalid, microseconds(1));
    nbd::RequestCounts sum = one;
    sum.add(one);
    CHECK(sum.by_op[4].durations.count() == 4);
    CHECK(sum.by_op[4].failed[4] == 2);
    CHECK(sum.by_op[5].durations.count() == 2);
    CHECK(sum.by_op[5].failed[3] == 2);
    CHECK(sum.by_op[0].durations.count() == 0);
}

TEST_CASE("metrics: what the program knows of devices, exports and stores is there") {
    FakeLive live;
    const std::string text = metrics_text(live, nullptr);
    for (const char* line :
         {"dmnbd_buffer_bytes 4096", "dmnbd_memory_budget_bytes 1073741824", "dmnbd_connections 3",
          "dmnbd_export_connections{export=\"\"} 2",
          "dmnbd_device_ios_total{device=\"flaky\",op=\"read\"} 5",
          "dmnbd_device_bytes_total{device=\"flaky\",op=\"write\"} 8192",
          "dmnbd_device_io_duration_seconds_sum{device=\"flaky\",op=\"read\"} 9e-07",
          "dmnbd_device_inflight{device=\"flaky\",op=\"read\"} 12",
          "dmnbd_device_requeues_total{device=\"flaky\",queue=\"requeue\"} 4",
          "dmnbd_device_retries_total{device=\"flaky\"} 118",
          "dmnbd_device_suspended{device=\"remote\"} 1",
          "dmnbd_device_events_total{device=\"flaky\"} 7",
          "dmnbd_store_errors_total{store=\"img0\"} 3"}) {
        CAPTURE(line);
        CHECK(has_line(text, line));
    }
    CHECK(text.find("dmnbd_config") == std::string::npos);
    CHECK(text.find("dmnbd_flakey_up{") == std::string::npos);
}
