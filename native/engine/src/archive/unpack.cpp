// SPDX-License-Identifier: Apache-2.0
#include "archive/tar.hpp"
#include "image/directory.hpp"
#include "restore/expected_sums.hpp"
#include "wire/crc32c.hpp"
#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <exception>
#include <memory>
#include <set>

namespace pclive::archive {
namespace {

constexpr uint64_t kMaxSumsBytes = 64u << 20;

Error damaged(const std::string &what) {
    return Error("images", "the archive is damaged: " + what,
                 "bring it over once more; nothing of it was used");
}

/// Sums are taken as the bytes pass: of a whole file, or of each chunk.
class Check {
  public:
    Check(const restore::Sums &sums, std::string name) : name_(std::move(name)) {
        if (auto file = sums.files.find(name_); file != sums.files.end()) {
            size = file->second.bytes;
            wanted_ = {file->second.crc32c};
            chunk_ = std::max<uint64_t>(size, 1);
        } else if (auto pages = sums.pages.find(name_); pages != sums.pages.end()) {
            size = pages->second.bytes;
            wanted_ = pages->second.crc32c;
            chunk_ = pages->second.chunk;
        } else {
            throw damaged(name_ + " is in it, but is no file of the image");
        }
    }

    void take(const uint8_t *bytes, size_t count) {
        while (count) {
            size_t part = std::min<uint64_t>(count, chunk_ - inChunk_);
            crc_ = wire::crc32c(crc_, bytes, part);
            inChunk_ += part;
            bytes += part;
            count -= part;
            if (inChunk_ == chunk_)
                endChunk();
        }
    }

    void end() {
        if (inChunk_ || (size == 0 && !wanted_.empty()))
            endChunk();
    }

    uint64_t size = 0;

  private:
    void endChunk() {
        if (index_ >= wanted_.size() || wanted_[index_++] != crc_)
            throw damaged("the contents of " + name_ + " are not those that were packed");
        crc_ = 0;
        inChunk_ = 0;
    }

    std::string name_;
    std::vector<uint32_t> wanted_;
    uint64_t chunk_ = 0, inChunk_ = 0;
    size_t index_ = 0;
    uint32_t crc_ = 0;
};

class Unpacker {
  public:
    Unpacker(ByteSource &source, const std::string &directory, Progress &progress)
        : source_(source), to_(directory), path_(directory), progress_(progress),
          reader_(archive_read_new(), archive_read_free), in_(kPiece), buffer_(kPiece) {}

    Totals unpack() {
        if (!to_.empty())
            throw Error("files", path_ + " is not empty", "give an empty directory");
        auto *reader = reader_.get();
        check(archive_read_support_format_tar(reader));
        check(archive_read_support_filter_zstd(reader));
        check(archive_read_open(reader, this, nullptr, &Unpacker::get, nullptr));
        takeSums();
        while (auto *entry = next())
            takeFile(entry);
        for (const auto &name : missing_)
            throw damaged(name + " is missing");
        drain();
        return totals_;
    }

  private:
    static la_ssize_t get(struct ::archive *reader, void *self, const void **bytes) {
        auto &unpacker = *static_cast<Unpacker *>(self);
        try {
            if (unpacker.progress_.stopped)
                throw Error("aborted", "the archive was given up");
            *bytes = unpacker.in_.data();
            return static_cast<la_ssize_t>(unpacker.source_.read(unpacker.in_.data(), unpacker.in_.size()));
        } catch (...) {
            unpacker.failure_ = std::current_exception();
            archive_set_error(reader, EIO, "the archive cannot be read");
            return -1;
        }
    }

    void check(int result) {
        if (failure_)
            std::rethrow_exception(failure_);
        if (result == ARCHIVE_OK || result == ARCHIVE_EOF)
            return;
        const char *said = archive_error_string(reader_.get());
        throw damaged(said ? said : "it cannot be read");
    }

    /// The next file; none at the end.
    archive_entry *next() {
        archive_entry *entry = nullptr;
        int result = archive_read_next_header(reader_.get(), &entry);
        check(result);
        return result == ARCHIVE_EOF ? nullptr : entry;
    }

    /// Without folders: an image has none.
    static std::string nameOf(archive_entry *entry) {
        const char *path = archive_entry_pathname(entry);
        std::string name = path ? path : "";
        auto allowed = [](char c) {
            return ::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
        };
        bool good = !name.empty() && name.size() < 256 && name[0] != '.' &&
                    std::all_of(name.begin(), name.end(), allowed);
        if (!good || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) ||
            !archive_entry_size_is_set(entry))
            throw Error(
                "images", "the archive holds what is no file of an image",
                "give an archive that pclive checkpoint has made; images in other archives can be unpacked "
                "and restored from their folder");
        return name;
    }

    void takeSums() {
        auto *entry = next();
        if (!entry || nameOf(entry) != restore::kSumsName)
            throw Error(
                "images", "this is no archive of a checkpoint: it does not begin with pclive.json",
                "give an archive that pclive checkpoint has made; images in other archives can be unpacked "
                "and restored from their folder");
        auto size = static_cast<uint64_t>(archive_entry_size(entry));
        if (size > kMaxSumsBytes)
            throw damaged("pclive.json is too long");
        std::string text(size, '\0');
        if (read(reinterpret_cast<uint8_t *>(text.data()), size) != size)
            throw damaged("pclive.json is cut off");
        to_.write(restore::kSumsName, text);
        sums_ = restore::readSums(restore::ImageDirectory(path_)).value();
        count(size);
        uint64_t bytes = 0;
        for (const auto &[name, file] : sums_.files)
            expect(name, file.bytes, bytes);
        for (const auto &[name, pages] : sums_.pages)
            expect(name, pages.bytes, bytes);
        if (bytes > to_.freeBytes())
            throw to_.writeError("an image of " + std::to_string(bytes >> 20) + " MiB", ENOSPC);
    }

    void expect(const std::string &name, uint64_t size, uint64_t &sum) {
        if (!missing_.insert(name).second || __builtin_add_overflow(sum, size, &sum))
            throw damaged("pclive.json is no list of files");
    }

    void takeFile(archive_entry *entry) {
        auto name = nameOf(entry);
        Check sum(sums_, name);
        if (!missing_.erase(name))
            throw damaged(name + " is in it twice");
        if (static_cast<uint64_t>(archive_entry_size(entry)) != sum.size)
            throw damaged(name + " has not the size that it was packed with");
        auto file = to_.create(name);
        for (uint64_t at = 0; at < sum.size;) {
            size_t got = read(buffer_.data(), std::min<uint64_t>(buffer_.size(), sum.size - at));
            if (!got)
                throw damaged(name + " is cut off");
            sum.take(buffer_.data(), got);
            to_.append(file.get(), name, buffer_.data(), got);
            at += got;
            progress_.bytes += got;
        }
        sum.end();
        count(sum.size);
    }

    size_t read(uint8_t *to, size_t size) {
        size_t got = 0;
        while (got < size) {
            auto some = archive_read_data(reader_.get(), to + got, size - got);
            check(some < 0 ? ARCHIVE_FATAL : ARCHIVE_OK);
            if (!some)
                break;
            got += static_cast<size_t>(some);
        }
        return got;
    }

    /// Whether an encrypted archive is whole is known at its end; and who writes into a pipe wants to be
    /// read.
    void drain() {
        while (source_.read(in_.data(), in_.size()))
            if (progress_.stopped)
                throw Error("aborted", "the archive was given up");
    }

    void count(uint64_t bytes) {
        totals_.files++;
        totals_.bytes += bytes;
    }

    ByteSource &source_;
    image::Directory to_;
    std::string path_;
    Progress &progress_;
    std::unique_ptr<struct ::archive, decltype(&archive_read_free)> reader_;
    std::vector<uint8_t> in_, buffer_;
    restore::Sums sums_;
    std::set<std::string> missing_;
    Totals totals_;
    std::exception_ptr failure_;
};

} // namespace

Totals unpack(ByteSource &source, const std::string &directory, Progress &progress) {
    return Unpacker(source, directory, progress).unpack();
}

} // namespace pclive::archive
