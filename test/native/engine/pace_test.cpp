// SPDX-License-Identifier: Apache-2.0
// The bound of the engine's processor time: it holds for all threads together, and not a moment too long.
#include "control/cpu_limit.hpp"
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

} // namespace

int main(int argc, char **argv) {
    return runCases({{"the bound holds for all threads together", holds},
                     {"a lifted bound lets sleepers go", lifted},
                     {"no bound, no waiting", none}},
                    argc, argv);
}
