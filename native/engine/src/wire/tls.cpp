// SPDX-License-Identifier: Apache-2.0
#include "wire/transport.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace pclive::wire {
namespace {

std::string opensslText() {
    unsigned long code = ERR_peek_last_error();
    char text[256] = "unknown error";
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return text;
}

[[noreturn]] void failTls(const std::string &what) {
    throw Error("tls", what + ": " + opensslText(),
                "check the certificate files in the configuration of both hosts");
}

} // namespace

TlsContext::TlsContext(const Identity &identity, Side side)
    : context_(SSL_CTX_new(side == Side::client ? TLS_client_method() : TLS_server_method()), SSL_CTX_free),
      side_(side), peerName_(identity.peerName) {
    auto *context = context_.get();
    if (!context)
        failTls("cannot start TLS");
    if (peerName_.empty())
        throw Error("invalid", "the peer's name is empty");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    // 128 bits first: the connection lives for minutes, and its speed decides how long a migration takes.
    SSL_CTX_set_ciphersuites(context,
                             "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 256 << 10);
    if (SSL_CTX_load_verify_locations(context, identity.ca.c_str(), nullptr) != 1)
        failTls("cannot read the authority's certificate " + identity.ca);
    if (SSL_CTX_use_certificate_chain_file(context, identity.cert.c_str()) != 1)
        failTls("cannot read the certificate " + identity.cert);
    if (SSL_CTX_use_PrivateKey_file(context, identity.key.c_str(), SSL_FILETYPE_PEM) != 1)
        failTls("cannot read the key " + identity.key);
    if (SSL_CTX_check_private_key(context) != 1)
        failTls("the key does not belong to the certificate " + identity.cert);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

std::unique_ptr<SSL, decltype(&SSL_free)> TlsContext::connection(int fd) const {
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()), SSL_free);
    if (!ssl || SSL_set_fd(ssl.get(), fd) != 1)
        failTls("cannot start TLS");
    auto *rules = SSL_get0_param(ssl.get());
    X509_VERIFY_PARAM_set_hostflags(rules,
                                    X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, peerName_.c_str()) != 1 &&
        X509_VERIFY_PARAM_set1_host(rules, peerName_.c_str(), peerName_.size()) != 1)
        failTls("the peer's name \"" + peerName_ + "\" cannot be used");
    ERR_clear_error();
    if (side_ == Side::client)
        SSL_set_connect_state(ssl.get());
    else
        SSL_set_accept_state(ssl.get());
    return ssl;
}

Transport::Transport(Fd fd, const TlsContext &context, Deadline deadline)
    : fd_(std::move(fd)), ssl_(context.connection(fd_.get())) {
    for (;;) {
        int result;
        Want want;
        {
            std::lock_guard lock(mutex_);
            ERR_clear_error();
            result = SSL_do_handshake(ssl_.get());
            if (result == 1)
                return;
            int kind = SSL_get_error(ssl_.get(), result);
            want = kind == SSL_ERROR_WANT_READ    ? Want::read
                   : kind == SSL_ERROR_WANT_WRITE ? Want::write
                                                  : Want::nothing;
            if (want == Want::nothing) {
                long verdict = SSL_get_verify_result(ssl_.get());
                if (verdict != X509_V_OK)
                    throw Error("tls",
                                std::string("the peer's certificate is refused: ") +
                                    X509_verify_cert_error_string(verdict),
                                "both hosts need certificates of the same authority, made for their "
                                "configured names");
                failTls("the TLS handshake failed");
            }
        }
        if (!wait(want, deadline))
            throw Error("timeout", "the TLS handshake took too long");
    }
}

} // namespace pclive::wire
