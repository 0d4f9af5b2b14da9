// SPDX-License-Identifier: Apache-2.0
// Payload buffers that are used again, because touching fresh memory costs more than the copy into it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace pclive::wire {

class BufferPool;

/// A movable buffer of bytes that goes back to its pool.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer &&other) noexcept { swap(other); }
    Buffer &operator=(Buffer &&other) noexcept {
        swap(other);
        return *this;
    }
    inline ~Buffer();

    [[nodiscard]] uint8_t *data() const { return data_; }
    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] std::span<const uint8_t> bytes() const { return {data_, size_}; }

  private:
    friend class BufferPool;
    void swap(Buffer &other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }
    std::shared_ptr<BufferPool> pool_;
    uint8_t *data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

/// Keeps up to `keep` large buffers for their next use; small ones come from malloc.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
  public:
    BufferPool(size_t large, size_t keep) : large_(large), keep_(keep) {}
    ~BufferPool() {
        for (auto *data : free_)
            std::free(data);
    }
    BufferPool(const BufferPool &) = delete;
    BufferPool &operator=(const BufferPool &) = delete;

    Buffer take(size_t size) {
        Buffer buffer;
        buffer.capacity_ = size > kSmall ? large_ : size;
        buffer.data_ = size > kSmall ? takeLarge() : allocate(size);
        buffer.size_ = size;
        buffer.pool_ = shared_from_this();
        return buffer;
    }

  private:
    friend class Buffer;
    static constexpr size_t kSmall = 4096;

    static uint8_t *allocate(size_t size) {
        auto *data = static_cast<uint8_t *>(std::malloc(size ? size : 1));
        if (!data)
            throw std::bad_alloc();
        return data;
    }
    uint8_t *takeLarge() {
        {
            std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                auto *data = free_.back();
                free_.pop_back();
                return data;
            }
        }
        return allocate(large_);
    }
    void give(uint8_t *data, size_t capacity) noexcept {
        if (capacity == large_) {
            std::lock_guard lock(mutex_);
            if (free_.size() < keep_) {
                free_.push_back(data); // never grows past what the constructor's caller allows
                return;
            }
        }
        std::free(data);
    }

    const size_t large_, keep_;
    std::mutex mutex_;
    std::vector<uint8_t *> free_;
};

inline Buffer::~Buffer() {
    if (data_)
        pool_->give(data_, capacity_);
}

} // namespace pclive::wire
