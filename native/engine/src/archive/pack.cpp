// SPDX-License-Identifier: Apache-2.0
#include "archive/tar.hpp"
#include "control/parallel.hpp"
#include "image/directory.hpp"
#include "image/sums.hpp"
#include "wire/crc32c.hpp"
#include <archive.h>
#include <archive_entry.h>
#include <exception>
#include <memory>
#include <sys/stat.h>

namespace pclive::archive {
namespace {

constexpr const char *kInventory = "inventory.img";

class Packer {
  public:
    Packer(const std::string &directory, ByteSink &sink, Progress &progress)
        : from_(directory), sink_(sink), progress_(progress),
          writer_(archive_write_new(), archive_write_free), buffer_(kPiece) {}

    Totals pack(bool compress, bool incremental) {
        auto names = from_.files();
        if (!std::binary_search(names.begin(), names.end(), kInventory))
            throw Error("images", from_.pathOf(kInventory) + " is not there: this is no image",
                        "name the folder of a complete checkpoint");
        struct stat link {};
        if (!incremental && !::lstat(from_.pathOf("parent").c_str(), &link))
            throw Error("images", from_.pathOf("parent") + " leads to another image that this one needs",
                        "take a checkpoint that is complete by itself");
        open(compress);
        if (std::binary_search(names.begin(), names.end(), image::kSumsFile))
            addFile(image::kSumsFile);
        else
            addBytes(image::kSumsFile, makeSums(names));
        for (const auto &name : names)
            if (name != image::kSumsFile)
                addFile(name);
        check(archive_write_close(writer_.get()));
        sink_.finish();
        return totals_;
    }

  private:
    void open(bool compress) {
        auto *writer = writer_.get();
        check(archive_write_set_format_pax_restricted(writer));
        check(compress ? archive_write_add_filter_zstd(writer) : archive_write_add_filter_none(writer));
        if (compress) {
            // Memory compresses well or not at all; the time is better spent on the next page.
            check(archive_write_set_filter_option(writer, "zstd", "compression-level", "1"));
            auto threads = std::to_string(memoryThreads());
            check(archive_write_set_filter_option(writer, "zstd", "threads", threads.c_str()));
        }
        check(archive_write_set_bytes_per_block(writer, kPiece));
        check(archive_write_set_bytes_in_last_block(writer, 1));
        check(archive_write_open2(writer, this, nullptr, &Packer::put, nullptr, nullptr));
    }

    /// No exception may pass through the library.
    static la_ssize_t put(struct ::archive *writer, void *self, const void *bytes, size_t size) {
        auto &packer = *static_cast<Packer *>(self);
        try {
            packer.sink_.write(static_cast<const uint8_t *>(bytes), size);
            return static_cast<la_ssize_t>(size);
        } catch (...) {
            packer.failure_ = std::current_exception();
            archive_set_error(writer, EIO, "the archive cannot be written");
            return -1;
        }
    }

    void check(int result) {
        if (failure_)
            std::rethrow_exception(failure_);
        if (result != ARCHIVE_OK)
            throw Error("files",
                        std::string("the archive cannot be made: ") + archive_error_string(writer_.get()));
    }

    void addFile(const std::string &name) {
        auto file = from_.open(name);
        uint64_t size = from_.size(name);
        begin(name, size);
        for (uint64_t at = 0; at < size;) {
            if (progress_.stopped)
                throw Error("aborted", "the archive was given up");
            size_t piece = std::min<uint64_t>(size - at, buffer_.size());
            from_.readAt(file.get(), name, buffer_.data(), piece, at);
            add(buffer_.data(), piece);
            at += piece;
        }
    }

    void addBytes(const std::string &name, const std::string &bytes) {
        begin(name, bytes.size());
        add(bytes.data(), bytes.size());
    }

    void begin(const std::string &name, uint64_t size) {
        std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            archive_entry_free);
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), 0600);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
        archive_entry_set_mtime(entry.get(), ::time(nullptr), 0);
        check(archive_write_header(writer_.get(), entry.get()));
        totals_.files++;
    }

    void add(const void *bytes, size_t size) {
        auto put = archive_write_data(writer_.get(), bytes, size);
        check(put == static_cast<la_ssize_t>(size) ? ARCHIVE_OK : ARCHIVE_FATAL);
        totals_.bytes += size;
        progress_.bytes += size;
    }

    std::string makeSums(const std::vector<std::string> &names) {
        image::ImageSums sums;
        for (const auto &name : names) {
            bool pages = name.starts_with("pages-") && name.ends_with(".img");
            auto file = from_.open(name);
            uint64_t size = from_.size(name), piece = pages ? image::kSumChunk : buffer_.size();
            std::vector<uint8_t> bytes(piece);
            auto &ofPages = pages ? sums.pages[name] : none_;
            uint32_t crc = 0;
            for (uint64_t at = 0; at < size; at += piece) {
                uint64_t part = std::min(piece, size - at);
                from_.readAt(file.get(), name, bytes.data(), part, at);
                crc = wire::crc32c(pages ? 0 : crc, bytes.data(), part);
                if (pages)
                    ofPages.crcs.push_back(crc);
            }
            if (pages)
                ofPages.bytes = size;
            else
                sums.files[name] = {size, crc};
        }
        return image::encodeSums(sums);
    }

    image::Directory from_;
    ByteSink &sink_;
    Progress &progress_;
    std::unique_ptr<struct ::archive, decltype(&archive_write_free)> writer_;
    std::vector<uint8_t> buffer_;
    image::ImageSums::Pages none_;
    Totals totals_;
    std::exception_ptr failure_;
};

} // namespace

Totals pack(const std::string &directory, bool compress, bool incremental, ByteSink &sink,
            Progress &progress) {
    return Packer(directory, sink, progress).pack(compress, incremental);
}

} // namespace pclive::archive
