// SPDX-License-Identifier: Apache-2.0
// What keeps the engine from taking too much of its host: a bound of processor time holds for all threads
// together and not a moment too long; what is left idle for others is as much as was asked for, but not at
// any price.
#include "control/cpu_limit.hpp"
#include "source/headroom.hpp"
#include "testing.hpp"

#include <atomic>
#include <cstdio>
#include <future>
#include <thread>
#include <time.h>
#include <vector>

using namespace pclive;
using namespace pclive::testing;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

double processorSeconds() {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

void burn(std::chrono::milliseconds time) {
    for (auto end = Clock::now() + time; Clock::now() < end;)
        ;
}

/// The share of one processor that three busy threads take.
double shareTaken(unsigned percent) {
    CpuLimit limit(percent);
    auto begin = Clock::now();
    double used = processorSeconds();
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 3; i++)
            threads.emplace_back([&] {
                while (Clock::now() - begin < 1500ms) {
                    limit.pace();
                    burn(1ms);
                }
            });
    }
    return (processorSeconds() - used) / std::chrono::duration<double>(Clock::now() - begin).count();
}

void holds() {
    for (unsigned percent : {10u, 40u}) {
        double share = shareTaken(percent);
        std::printf("        %u %% asked for, %.1f %% taken\n", percent, share * 100);
        CHECK(share > 0 && share * 100 < percent * 1.15 + 1);
    }
}

/// Nobody sleeps off what is no debt any more: the pause has begun.
void lifted() {
    CpuLimit limit(1);
    limit.pace();
    burn(200ms); // twenty seconds' worth
    auto sleeper = std::async(std::launch::async, [&] { limit.pace(); });
    CHECK(sleeper.wait_for(100ms) == std::future_status::timeout);
    limit.lift();
    CHECK(sleeper.wait_for(5s) == std::future_status::ready);
    burn(50ms);
    limit.pace(); // for good
}

void none() {
    CpuLimit limit(0);
    limit.pace();
    burn(100ms);
    limit.pace();
}

/// What a host leaves idle when the migration sends so much per second.
struct Host {
    double others;    ///< share of its processor time
    double perSecond; ///< bytes that would take all of it
    double link;      ///< bytes per second
    [[nodiscard]] double idle(double sent) const { return std::max(0.0, 1 - others - sent / perSecond); }
};

/// Bytes per second that are sent in the end, 5 s later.
double settled(const Host &host, double wanted) {
    HeadroomRule rule(wanted);
    double sent = host.link, limit = 0;
    for (int look = 0; look < 50; look++) {
        limit = rule.after(host.idle(sent), sent);
        sent = std::min(host.link, limit);
    }
    return sent;
}

void leavesIdle() {
    for (double wanted : {0.1, 0.25, 0.4}) {
        Host host{.others = 0.1, .perSecond = 1e9, .link = 0.9e9};
        double idle = host.idle(settled(host, wanted));
        std::printf("        %.0f %% asked for, %.1f %% idle\n", wanted * 100, idle * 100);
        CHECK(std::abs(idle - wanted) < 0.03);
    }
}

void givesUpHalfAtMost() {
    Host full{.others = 1, .perSecond = 1e9, .link = 0.4e9};
    CHECK(std::abs(settled(full, 0.25) - 0.2e9) < 1e6);
}

void leavesFastHostsAlone() {
    Host large{.others = 0.2, .perSecond = 20e9, .link = 1.2e9};
    CHECK(settled(large, 0.25) == large.link);
    CHECK(settled(large, 0) == large.link);
}

/// A source that had nothing to send for a while goes on as fast as before.
void recovers() {
    HeadroomRule rule(0.25);
    rule.after(0.6, 100e6);
    for (int look = 0; look < 20; look++)
        rule.after(0.9, 0);
    double limit = 0;
    for (int look = 0; look < 10; look++)
        limit = rule.after(0.6, std::min(100e6, limit > 0 ? limit : 100e6));
    CHECK(limit >= 100e6);
}

void readsTheHost() {
    auto before = processorTicks();
    burn(150ms);
    auto after = processorTicks();
    CHECK(after.total > before.total && after.idle >= before.idle);
}

/// A sender that waits for its turn does not outlive the migration.
void headroomLifted() {
    // Nothing is ever idle.
    Headroom headroom(50, [ticks = ProcessorTicks{}]() mutable { return ticks.total++, ticks; });
    headroom.take(1000);
    std::this_thread::sleep_for(150ms);
    headroom.take(1000);              // the look: some 10 kB/s
    headroom.take(uint64_t{1} << 40); // of no use before, so this goes, and the next waits for years
    auto sleeper = std::async(std::launch::async, [&] { headroom.take(1); });
    CHECK(sleeper.wait_for(100ms) == std::future_status::timeout);
    headroom.lift();
    CHECK(sleeper.wait_for(5s) == std::future_status::ready);
}

} // namespace

int main(int argc, char **argv) {
    return runCases({{"the bound holds for all threads together", holds},
                     {"a lifted bound lets sleepers go", lifted},
                     {"no bound, no waiting", none},
                     {"as much is left idle as was asked for", leavesIdle},
                     {"a host that others use up costs half of the speed at most", givesUpHalfAtMost},
                     {"a host with processors to spare is not held back", leavesFastHostsAlone},
                     {"after a time without anything to send it is as fast as before", recovers},
                     {"the host's idle time is read", readsTheHost},
                     {"a lifted headroom lets senders go", headroomLifted}},
                    argc, argv);
}
