// SPDX-License-Identifier: Apache-2.0
#include "wire/hello.hpp"

#include "wire/crc32c.hpp"
#include <cstring>
#include <openssl/crypto.h>

namespace pclive::wire {
namespace {

int hexDigit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

void fromHex(const std::string &what, const std::string &text, uint8_t *bytes, size_t size) {
    bool good = text.size() == 2 * size;
    for (size_t i = 0; good && i < size; i++) {
        int high = hexDigit(text[2 * i]), low = hexDigit(text[2 * i + 1]);
        good = high >= 0 && low >= 0;
        bytes[i] = static_cast<uint8_t>(high << 4 | (low & 15));
    }
    if (!good)
        throw Error("invalid", what + " must be " + std::to_string(2 * size) + " lower-case hex digits");
}

void sendFirst(Transport &transport, FrameType type, const void *payload, size_t size, Deadline deadline) {
    FrameHeader header{
        kMagic, static_cast<uint8_t>(type), 0, 0, static_cast<uint32_t>(size), crc32c(0, payload, size), 0};
    transport.writeAll(&header, sizeof header, deadline);
    if (size)
        transport.writeAll(payload, size, deadline);
}

/// Reads the header of the first frame and checks all that is fixed in it.
FrameHeader firstHeader(Transport &transport, FrameType type, size_t size, Deadline deadline) {
    FrameHeader header;
    transport.readAll(&header, sizeof header, deadline);
    if (header.magic != kMagic || header.type != static_cast<uint8_t>(type) || header.flags ||
        header.reserved || header.length != size || header.sequence)
        throw Error("refused", "the peer does not speak this protocol",
                    "install the same version of PCLive on both hosts");
    return header;
}

} // namespace

HelloFrame makeHello(const Identity &identity, StreamNumber number) {
    HelloFrame hello{};
    hello.version = kWireVersion;
    hello.pageSize = kPageSize;
    hello.stream = number.stream;
    hello.streams = number.streams;
    fromHex("migration", identity.migration, hello.migration, sizeof hello.migration);
    fromHex("token", identity.token, hello.token, sizeof hello.token);
    return hello;
}

void greet(Transport &transport, const HelloFrame &hello, Deadline deadline) {
    try {
        sendFirst(transport, FrameType::hello, &hello, sizeof hello, deadline);
        firstHeader(transport, FrameType::helloAck, 0, deadline);
    } catch (const Error &error) {
        if (error.code() != "peer-lost")
            throw;
        // In TLS 1.3 our own handshake is over before the peer has looked at our certificate.
        throw Error("refused", std::string("the peer refused the connection; ") + error.what(),
                    "the peer's log tells why: certificate, name, migration or version");
    }
}

StreamNumber welcome(Transport &transport, const HelloFrame &expected,
                     const std::function<bool(StreamNumber)> &due, Deadline deadline) {
    FrameHeader header = firstHeader(transport, FrameType::hello, sizeof(HelloFrame), deadline);
    HelloFrame hello;
    transport.readAll(&hello, sizeof hello, deadline);
    if (header.crc != crc32c(0, &hello, sizeof hello))
        throw Error("refused", "damaged HELLO");
    if (hello.version != expected.version || hello.pageSize != expected.pageSize)
        throw Error("refused",
                    "the peer has wire version " + std::to_string(hello.version) + " and pages of " +
                        std::to_string(hello.pageSize) + " bytes",
                    "install the same version of PCLive on both hosts; both need pages of 4096 bytes");
    StreamNumber number{hello.stream, hello.streams};
    hello.stream = expected.stream;
    hello.streams = expected.streams;
    if (CRYPTO_memcmp(&hello, &expected, sizeof hello) != 0)
        throw Error("refused", "a peer with a wrong migration or token");
    if (!due(number))
        throw Error("refused", "stream " + std::to_string(number.stream) + " of " +
                                   std::to_string(number.streams) + " is not waited for");
    sendFirst(transport, FrameType::helloAck, nullptr, 0, deadline);
    return number;
}

} // namespace pclive::wire
