// What the load generator measured.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace load {

/// Latencies in logarithmic buckets of 4 %, from 1 µs to about 20 min.
class Histogram {
  public:
    void add(double ms) {
        double us = std::max(1.0, ms * 1000);
        size_t bucket = std::min(buckets_.size() - 1, static_cast<size_t>(std::log(us) / std::log(1.04)));
        buckets_[bucket]++;
        count_++;
        max_ = std::max(max_, ms);
    }
    /// Upper edge of the bucket in which the quantile lies, in milliseconds.
    double quantile(double q) const {
        uint64_t rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_))), seen = 0;
        for (size_t i = 0; i < buckets_.size(); i++)
            if ((seen += buckets_[i]) >= rank && rank > 0)
                return std::min(max_, std::pow(1.04, static_cast<double>(i + 1)) / 1000);
        return 0;
    }
    double max() const { return max_; }

  private:
    std::array<uint32_t, 540> buckets_{};
    uint64_t count_ = 0;
    double max_ = 0;
};

struct Window {
    uint32_t due = 0, received = 0;
    Histogram latency;
};

struct Stats {
    uint64_t sent = 0, received = 0, wrong = 0, errors = 0, late = 0, broken = 0, lost = 0;
    uint64_t reads = 0, writes = 0, increments = 0;
    double gap_ms = 0;    ///< longest time without any reply while replies were due
    double gap_at_ms = 0; ///< unix time of its end
    double elapsed_ms = 0;
    double start_unix_ms = 0;
    std::string first_wrong;
    Histogram latency;
    std::vector<Window> windows; ///< 100 ms each
};

} // namespace load
