// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/multipart.h"

#include <gtest/gtest.h>

#include <random>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

const std::string kType = "multipart/form-data; boundary=xyz";

TEST(Multipart, ReadsAForm) {
  const std::string body =
      "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n"
      "--xyz\r\ncontent-disposition: form-data; filename=\"a \\\"b\\\" \\n.png\"; name=file\r\n"
      "Content-Type: image/png\r\n\r\n\x89PNG\r\n--xy\r\n\r\n--xyz--\r\nwhatever";
  const auto parts = parse_multipart("Multipart/Form-Data; charset=x; Boundary=\"xyz\"", body);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].name, "purpose");
  EXPECT_FALSE(parts[0].filename);
  EXPECT_EQ(parts[0].body, "vision");
  EXPECT_EQ(parts[1].name, "file");
  EXPECT_EQ(parts[1].filename, "a \"b\" \\n.png");
  EXPECT_EQ(parts[1].body, "\x89PNG\r\n--xy\r\n");
}

TEST(Multipart, APreambleAndNoParts) {
  EXPECT_EQ(parse_multipart(kType, "hello\r\n--xyz--").size(), 0U);
  EXPECT_EQ(parse_multipart(kType, "--xyz--").size(), 0U);
}

TEST(Multipart, RefusesWhatIsNoForm) {
  const std::string head = "Content-Disposition: form-data; name=a\r\n";
  for (const std::string& body : {
           std::string(),
           std::string("--xy--"),
           std::string("--xyz"),
           std::string("--xyz\r\n"),
           "--xyz\r\n" + head + "\r\nabc",                    // does not end
           "--xyz\r\n" + head + "abc\r\n--xyz--",             // no end of the head
           std::string("--xyz\r\n\r\n\r\nabc\r\n--xyz--"),    // no name
           "--xyz\r\n" + head + head + "\r\nabc\r\n--xyz--",  // two names
           "--xyz junk\r\n" + head + "\r\nabc\r\n--xyz--",    // more than a boundary
           std::string("--xyz\r\nContent-Disposition: attachment; name=a\r\n\r\nb\r\n--xyz--"),
           std::string("--xyz\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--xyz--"),
           std::string(
               "--xyz\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n\r\n--xyz--"),
           std::string("--xyz\r\nno colon\r\n\r\nb\r\n--xyz--"),
       }) {
    EXPECT_THROW(parse_multipart(kType, body), ApiError) << body;
  }
  for (const char* type :
       {"", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a b\"", "multipart/mixed; boundary=xyz"}) {
    EXPECT_THROW(parse_multipart(type, "--xyz--"), ApiError) << type;
  }
  std::string many;
  for (int i = 0; i < 33; ++i) many += "--xyz\r\n" + head + "\r\n\r\n";
  EXPECT_THROW(parse_multipart(kType, many + "--xyz--"), ApiError);
}

TEST(Multipart, AnyContentComesBack) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string content(random() % 300, ' ');
    // Mostly what boundaries are made of.
    for (char& c : content) c = "\r\n-xyz\0"[random() % 7];
    if (("\r\n" + content).find("\r\n--xyz") != std::string::npos) continue;
    const std::string body =
        "--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\n" + content + "\r\n--xyz--";
    const auto parts = parse_multipart(kType, body);
    ASSERT_EQ(parts.size(), 1U);
    EXPECT_EQ(parts[0].body, content);
  }
}

}  // namespace
}  // namespace llava::serve
