// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_url.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

using std::string_literals::operator""s;

TEST(WorkerUrl, GivesTheParts) {
  const WorkerUrl plain = parse_worker_url("http://localhost:21002");
  EXPECT_FALSE(plain.is_tls);
  EXPECT_EQ(plain.host, "localhost");
  EXPECT_EQ(plain.port, 21002);
  EXPECT_EQ(plain.path, "");

  const WorkerUrl prefix = parse_worker_url("HTTPS://GPU-1.Example.org/pool/a@b/");
  EXPECT_TRUE(prefix.is_tls);
  EXPECT_EQ(prefix.host, "gpu-1.example.org");
  EXPECT_EQ(prefix.port, 443);
  EXPECT_EQ(prefix.path, "/pool/a@b/");

  const WorkerUrl address = parse_worker_url("http://[2001:DB8::1]:8080");
  EXPECT_EQ(address.host, "2001:db8::1");
  EXPECT_EQ(address.port, 8080);
  EXPECT_EQ(parse_worker_url("http://[::1]/x").port, 80);
  EXPECT_EQ(parse_worker_url("http://10.0.0.7").host, "10.0.0.7");
}

TEST(WorkerUrl, RefusesWhatMustNotBeCalled) {
  const std::string refused[] = {"",
                                 "localhost:21002",
                                 "ftp://h",
                                 "file:///etc/passwd",
                                 "http:/h",
                                 "http://",
                                 "http:///x",
                                 "http://:80",
                                 "http://user:word@h",
                                 "http://user@h/x",
                                 "http://@h",
                                 "http://h#f",
                                 "http://h/x#f",
                                 "http://h?x=1",
                                 "http://h/x?",
                                 "http://h:",
                                 "http://h:0",
                                 "http://h:65536",
                                 "http://h:+80",
                                 "http://h:80a",
                                 "http://h:80:80",
                                 "http://h h",
                                 "http://h\\@other",
                                 "http://h/\r\nX: y",
                                 "http://h\0.org"s,
                                 "http://b\xC3\xBC"
                                 "cher.example",
                                 "http://%68ost",
                                 "http://[::1",
                                 "http://[::1]80",
                                 "http://[]",
                                 "http://[",
                                 "http://[localhost]",
                                 "http://::1",
                                 "http://[fe80::1%25eth0]",
                                 "http://" + std::string(kMaxWorkerNameBytes, 'h')};
  for (const std::string& name : refused) {
    SCOPED_TRACE(name);
    try {
      parse_worker_url(name);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(WorkerUrl, ShowsNoPassword) {
  try {
    parse_worker_url("http://user:secret@host");
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace llava::serve
