// SPDX-License-Identifier: Apache-2.0
// Where the memory of a process is in an image and its parents.
#pragma once

#include "image/pagemap.hpp"
#include "restore/expected_sums.hpp"
#include "restore/image_directory.hpp"
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace pclive::restore {

inline constexpr size_t kMaxLayers = 64;

/// A pages image: nothing but pages, one after the other.
struct PagesFile {
    Fd fd;
    uint64_t size;
    std::string name, path;
    const PagesSums *sums; ///< null when the image has none
};

/// Bytes [address, address + size) of a process are at `offset` of a pages file.
struct Extent {
    uint64_t address, size, offset;
    size_t file; ///< index in Layers::files()
};

/// The pages of one process, in address order.
struct ProcessPages {
    image::Pagemap pagemap; ///< of the image itself
    std::vector<Extent> extents;
    /// Pages that an image has, but not their contents (left to a page server).
    bool incomplete = false;
};

/// An image and its chain of parents.
class Layers {
  public:
    /// Errors: "images".
    explicit Layers(const std::string &path);

    [[nodiscard]] const ImageDirectory &top() const { return layers_.front().directory; }
    [[nodiscard]] size_t count() const { return layers_.size(); }
    [[nodiscard]] const std::vector<PagesFile> &files() const { return files_; }

    /// None when the image has no pagemap of the process. Error "images" when pages are missing in it, or in
    /// the parents that it refers to.
    std::optional<ProcessPages> pagesOf(uint32_t pid);

    /// Whether all layers bring their sums.
    [[nodiscard]] bool summed() const;
    /// Holds every file that is not a pages image against the sums, and every pagemap against the size of its
    /// pages image. Error "images".
    void check();

  private:
    struct Layer {
        ImageDirectory directory;
        std::optional<Sums> sums;
    };
    /// A pagemap with, for each entry, where its pages begin in the pages image.
    struct Map {
        image::Pagemap pagemap;
        std::vector<uint64_t> offsets;
        size_t file;
    };

    const Map *map(size_t layer, const std::string &name);
    size_t pagesFile(size_t layer, uint32_t id);
    void resolve(const std::string &name, size_t layer, uint64_t start, uint64_t end, ProcessPages &pages);
    void add(const Map &map, size_t entry, uint64_t start, uint64_t end, ProcessPages &pages);

    std::vector<Layer> layers_;
    std::vector<PagesFile> files_;
    std::map<std::pair<size_t, uint32_t>, size_t> byId_;
    std::map<std::pair<size_t, std::string>, std::unique_ptr<Map>> maps_;
};

} // namespace pclive::restore
