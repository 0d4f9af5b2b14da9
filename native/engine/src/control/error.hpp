// SPDX-License-Identifier: Apache-2.0
// The one error type of the engine.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace pclive {

/// A failure as it is told to the shim: a stable code for programs, a message for people, and what to do
/// about it.
class Error : public std::runtime_error {
  public:
    Error(std::string code, const std::string &message, std::string remedy = {})
        : std::runtime_error(message), code_(std::move(code)), remedy_(std::move(remedy)) {}

    [[nodiscard]] const std::string &code() const noexcept { return code_; }
    [[nodiscard]] const std::string &remedy() const noexcept { return remedy_; }

  private:
    std::string code_;
    std::string remedy_;
};

/// An Error for a failed system call: "`what`: strerror(error)".
inline Error systemError(const std::string &code, const std::string &what, int error,
                         const std::string &remedy = {}) {
    return Error(code, what + ": " + std::strerror(error), remedy);
}

} // namespace pclive
