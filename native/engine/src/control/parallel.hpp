// SPDX-License-Identifier: Apache-2.0
// Work on several processors at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace pclive {

/// How many threads memory is worth: more of them only wait for it.
inline size_t memoryThreads() {
    constexpr size_t kMost = 4;
    return std::min<size_t>(kMost, std::max(1u, std::thread::hardware_concurrency()));
}

/// Calls `work(i)` for each i below `count`, in any order, on at most `threads` threads, of which the
/// caller's is one; each begins with `setUp()`, whose result it keeps until its end and hands to work(i,
/// result). After an exception no new call begins, and the first one is thrown when all threads have ended.
template <class SetUp, class Work> void parallel(size_t count, size_t threads, SetUp setUp, Work work) {
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr failure;
    auto run = [&] {
        try {
            auto &&own = setUp();
            for (size_t i; (i = next++) < count;)
                work(i, own);
        } catch (...) {
            next = count;
            std::lock_guard lock(mutex);
            failure = failure ? failure : std::current_exception();
        }
    };
    std::vector<std::jthread> others;
    for (size_t i = 1; i < std::min(threads, count); i++)
        others.emplace_back(run);
    run();
    others.clear(); // joins
    if (failure)
        std::rethrow_exception(failure);
}

} // namespace pclive
