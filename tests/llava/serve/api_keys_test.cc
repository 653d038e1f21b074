// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/api_keys.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

/// A file of keys that goes with the test.
class KeyFile {
 public:
  explicit KeyFile(const std::string& text)
      : path_(std::filesystem::path(::testing::TempDir()) /
              (std::string("keys-") +
               ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    write(text);
  }
  ~KeyFile() { std::filesystem::remove(path_); }
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;

  void write(const std::string& text) const { std::ofstream(path_) << text; }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

HttpRequest with_header(const std::string& name, const std::string& value) {
  HttpRequest request;
  request.headers.push_back({name, value});
  return request;
}

// printf %s secret | sha256sum
constexpr const char* kSecretDigest =
    "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

TEST(ApiKeys, NoneMeansOpen) {
  const ApiKeys keys({}, "");
  EXPECT_TRUE(keys.is_open());
}

TEST(ApiKeys, FromTheCommandLine) {
  const ApiKeys keys({"one", "two"}, "");
  EXPECT_FALSE(keys.is_open());
  EXPECT_EQ(keys.find(with_header("Authorization", "Bearer two"))->name, "key-2");
  EXPECT_EQ(keys.find(with_header("authorization", "bearer one"))->name, "key-1");
  EXPECT_EQ(keys.find(with_header("X-Api-Key", "one"))->name, "key-1");
  for (const char* value : {"Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "one"}) {
    EXPECT_FALSE(keys.find(with_header("Authorization", value))) << value;
  }
  EXPECT_FALSE(keys.find(HttpRequest()));
}

TEST(ApiKeys, FromAFile) {
  const KeyFile file(std::string("# ours\n\nanna:") + kSecretDigest + ":priority  # comment\r\n");
  ApiKeys keys({}, file.path());
  const auto key = keys.find(with_header("Authorization", "Bearer secret"));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->name, "anna");
  EXPECT_TRUE(key->may_set_priority);
  file.write("");
  keys.reload();
  EXPECT_FALSE(keys.find(with_header("Authorization", "Bearer secret")));
  // A file that was named keeps the door shut even when it is empty.
  EXPECT_FALSE(keys.is_open());
}

TEST(ApiKeys, BadFilesNameTheLineAndChangeNothing) {
  const KeyFile file(std::string("anna:") + kSecretDigest + "\n");
  ApiKeys keys({}, file.path());
  for (const std::string& line :
       {std::string("anna"), std::string("anna:12"), std::string(":") + kSecretDigest,
        std::string("anna:") + kSecretDigest + ":everything"}) {
    file.write("# first\n" + line + "\n");
    try {
      keys.reload();
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
    }
    EXPECT_TRUE(keys.find(with_header("Authorization", "Bearer secret")));
  }
  EXPECT_THROW(ApiKeys({}, "/nonexistent/keys"), Error);
}

}  // namespace
}  // namespace llava::serve
