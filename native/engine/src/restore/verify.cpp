// SPDX-License-Identifier: Apache-2.0
#include "restore/verify.hpp"

#include "control/parallel.hpp"
#include "restore/mapped_chunk.hpp"
#include "wire/crc32c.hpp"
#include <algorithm>

namespace pclive::restore {
namespace {

struct Summed {
    const PagesFile *file;
    size_t chunk; ///< index
};

std::vector<Summed> chunksOf(const std::vector<PagesFile> &files) {
    std::vector<Summed> chunks;
    for (const auto &file : files)
        for (size_t i = 0; file.sums && i < file.sums->crc32c.size(); i++)
            chunks.push_back({&file, i});
    return chunks;
}

void verifyOne(const Summed &summed) {
    const auto &[file, chunk] = summed;
    uint64_t begin = chunk * file->sums->chunk, end = std::min(begin + file->sums->chunk, file->size);
    MappedChunk mapped(*file, begin, end);
    if (wire::crc32c(0, mapped.need(begin, end - begin), end - begin) != file->sums->crc32c[chunk])
        throw wrongSum(file->path);
}

} // namespace

void verifyPages(const std::vector<PagesFile> &files, unsigned threads, const std::atomic<bool> &stop) {
    auto chunks = chunksOf(files);
    parallel(
        chunks.size(), threads, [] { return 0; },
        [&](size_t i, int) {
            if (stop)
                throw Error("aborted", "aborted");
            verifyOne(chunks[i]);
        });
}

} // namespace pclive::restore
