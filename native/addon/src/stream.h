// One stream being copied: what moves its bytes. Who calls it, and when, is the mover's business.
#pragma once
#include "common.h"
#include <cstdint>
#include <span>
#include <string>

namespace pclive {

// What a stream waits for before it can go on.
enum class Wait { Nothing, Input, Output, Ended };

enum class WhenLost { ReadOn, End };

class Stream {
  public:
    // Both descriptors must be non-blocking, or of a kind that never waits; without an output (-1) the input
    // is read and thrown away.
    Stream(Descriptor input, Descriptor output, WhenLost whenLost);

    // Moves bytes until it would have to wait, or for a fair share (Wait::Nothing). What is read and not
    // written yet is held by the stream, `scratch` is free again.
    Wait advance(std::span<char> scratch);

    int input() const { return input_.get(); }
    int output() const { return output_.get(); }
    uint64_t bytes() const { return bytes_; }
    // The errno of reading, 0 for none.
    int error() const { return error_; }

  private:
    Wait step(std::span<char> scratch);
    bool worthSplicing() const;
    Wait splice();
    Wait copy(std::span<char> scratch);
    Wait inputFailed();
    void put(std::span<const char> bytes);
    void outputFailed();

    Descriptor input_, output_;
    const WhenLost whenLost_;
    // False when there is no output, or it has gone.
    bool writing_;
    bool canSplice_;
    const bool toFile_;
    uint64_t bytes_ = 0;
    int error_ = 0;
    // Read, and refused by an output that is full.
    std::string held_;
};

} // namespace pclive
