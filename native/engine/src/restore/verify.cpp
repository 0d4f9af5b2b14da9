// SPDX-License-Identifier: Apache-2.0
#include "restore/verify.hpp"

#include "control/parallel.hpp"
#include "restore/mapped_chunk.hpp"
#include "wire/crc32c.hpp"
#include <algorithm>

namespace pclive::restore {
namespace {

/// Brought into memory at a time, if sums are of less: a call for each costs more than to check it.
constexpr uint64_t kStepBytes = 4u << 20;

struct Step {
    size_t file;
    size_t begin, end; ///< indices of sums
};

std::vector<Step> stepsOf(const std::vector<PagesFile> &files) {
    std::vector<Step> steps;
    for (size_t file = 0; file < files.size(); file++) {
        const auto *sums = files[file].sums;
        if (!sums)
            continue;
        size_t stride = std::max<size_t>(1, kStepBytes / sums->chunk), count = sums->crc32c.size();
        for (size_t i = 0; i < count; i += stride)
            steps.push_back({file, i, std::min(i + stride, count)});
    }
    return steps;
}

void verify(const Step &step, const PagesFile &file, const MappedChunk &mapped) {
    uint64_t chunk = file.sums->chunk, begin = step.begin * chunk,
             end = std::min(step.end * chunk, file.size);
    const uint8_t *at = mapped.need(begin, end - begin);
    for (size_t i = step.begin; i < step.end; i++, at += chunk)
        if (wire::crc32c(0, at, std::min(chunk, file.size - i * chunk)) != file.sums->crc32c[i])
            throw wrongSum(file.path);
}

} // namespace

Mappings verifyPages(const std::vector<PagesFile> &files, unsigned threads, const std::atomic<bool> &stop) {
    Mappings mappings;
    for (const auto &file : files)
        mappings.push_back(file.sums && file.size ? std::make_unique<MappedChunk>(file, 0, file.size)
                                                  : nullptr);
    auto steps = stepsOf(files);
    parallel(
        steps.size(), threads, [] { return 0; },
        [&](size_t i, int) {
            if (stop)
                throw Error("aborted", "aborted");
            const auto &step = steps[i];
            verify(step, files[step.file], *mappings[step.file]);
        });
    return mappings;
}

} // namespace pclive::restore
