// The little of Redis's protocol that the load generator needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace load {

/// Appends a command (RESP array of bulk strings) to `out`.
inline void append_command(std::string &out, std::initializer_list<std::string_view> words) {
    out += '*';
    out += std::to_string(words.size());
    out += "\r\n";
    for (std::string_view word : words) {
        out += '$';
        out += std::to_string(word.size());
        out += "\r\n";
        out += word;
        out += "\r\n";
    }
}

struct Reply {
    char kind = 0;         ///< '+', '-', ':' or '$'
    std::string_view text; ///< the line, or the bulk; empty for a null bulk
    bool null = false;
    size_t size = 0; ///< bytes that the reply took
};

/// The first reply in `data`, or nothing while it is incomplete. Kind 0 means that this is no reply.
inline std::optional<Reply> parse_reply(std::string_view data) {
    size_t eol = data.find("\r\n");
    if (eol == std::string_view::npos)
        return data.size() > 256 && data[0] != '-' ? std::optional<Reply>(Reply{}) : std::nullopt;
    Reply reply{data[0], data.substr(1, eol - 1), false, eol + 2};
    if (reply.kind == '+' || reply.kind == '-' || reply.kind == ':')
        return reply;
    if (reply.kind != '$')
        return Reply{};
    long length = std::strtol(std::string(reply.text).c_str(), nullptr, 10);
    if (length < 0) {
        reply.null = true;
        reply.text = {};
        return reply;
    }
    size_t total = eol + 2 + static_cast<size_t>(length) + 2;
    if (data.size() < total)
        return std::nullopt;
    reply.text = data.substr(eol + 2, static_cast<size_t>(length));
    reply.size = total;
    return reply;
}

inline std::string key_name(uint64_t key) {
    char name[24];
    std::snprintf(name, sizeof name, "key:%012llu", static_cast<unsigned long long>(key));
    return name;
}

/// The one right value of a key: every SET writes it, every GET must return it, so that the dataset's digest
/// stays the same under load while Redis allocates, writes and frees memory for each SET.
inline void fill_value(uint64_t key, size_t bytes, std::string &out) {
    out.resize(bytes);
    uint64_t x = key * 0x9e3779b97f4a7c15ull + 0x1234567;
    for (size_t i = 0; i < bytes; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        std::memcpy(out.data() + i, &x, std::min<size_t>(8, bytes - i));
    }
}

} // namespace load
