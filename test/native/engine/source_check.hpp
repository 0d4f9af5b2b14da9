// SPDX-License-Identifier: Apache-2.0
// The little that the source's test programs need of a test framework.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

namespace sourcetest {

inline int failures = 0;

struct Skip {
    std::string why;
};

inline void check(bool holds, const std::string &what) {
    if (!holds)
        throw std::runtime_error(what);
}

/// Runs one case and says how it went; `only` (argv[1]) picks cases by a part of their name.
inline void test(const std::string &name, const std::string &only, const std::function<void()> &body) {
    if (name.find(only) == std::string::npos)
        return;
    try {
        body();
        std::printf("ok - %s\n", name.c_str());
    } catch (const Skip &skip) {
        std::printf("ok - %s # SKIP %s\n", name.c_str(), skip.why.c_str());
    } catch (const std::exception &error) {
        failures++;
        std::printf("not ok - %s: %s\n", name.c_str(), error.what());
    }
    std::fflush(stdout);
}

} // namespace sourcetest
