// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/disk_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/engine/cache_file.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

bool put(DiskCache& cache, const std::string& key, const std::string& payload) {
  const auto bytes = bytes_of(payload);
  const std::span<const std::byte> parts[] = {bytes.first(payload.size() / 3),
                                              bytes.subspan(payload.size() / 3)};
  return cache.put(key, parts);
}

std::optional<std::string> get(DiskCache& cache, const std::string& key) {
  const auto entry = cache.get(key);
  if (!entry) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(entry->payload.data()), entry->payload.size());
}

class DiskCacheTest : public testing::Test {
 protected:
  DiskCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "llava-cache-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~DiskCacheTest() override { fs::remove_all(folder_); }

  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path());
    return found;
  }
  std::string read(const fs::path& path) const { return read_file(path, 1 << 20); }
  void overwrite(const fs::path& path, const std::string& content) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  fs::path folder_;
};

TEST_F(DiskCacheTest, KeepsBytesUnderBytesAcrossRestarts) {
  const std::string key("\0key\xff", 5);
  const std::string payload(100000, 'x');
  {
    DiskCache cache(folder_, 1 << 20);
    EXPECT_FALSE(get(cache, key).has_value());
    EXPECT_TRUE(put(cache, key, payload));
    EXPECT_TRUE(put(cache, "empty", ""));
  }
  DiskCache cache(folder_, 1 << 20);
  EXPECT_EQ(get(cache, key), payload);
  EXPECT_EQ(get(cache, "empty"), "");
  EXPECT_FALSE(get(cache, "other").has_value());
  EXPECT_EQ(cache.counters().hits, 2);
  EXPECT_EQ(cache.counters().misses, 1);
  EXPECT_TRUE(put(cache, key, "newer"));
  EXPECT_EQ(get(cache, key), "newer");
  EXPECT_EQ(files().size(), 2u);
  cache.remove(key);
  EXPECT_FALSE(get(cache, key).has_value());
}

TEST_F(DiskCacheTest, AMappedEntryOutlivesItsFile) {
  DiskCache cache(folder_, 1 << 20);
  put(cache, "key", "payload");
  const auto entry = cache.get("key");
  cache.remove("key");
  put(cache, "key", "another");
  EXPECT_EQ(std::memcmp(entry->payload.data(), "payload", 7), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(entry->payload.data()) % 64, 0u);
}

TEST_F(DiskCacheTest, TheLeastRecentlyUsedLeavesAlsoAfterARestart) {
  const std::string payload(1000, 'x');
  constexpr int64_t kBound = 3500;  // three entries of 1128 bytes
  {
    DiskCache cache(folder_, kBound);
    for (const char* key : {"a", "b", "c"}) put(cache, key, payload);
    EXPECT_TRUE(get(cache, "a").has_value());
  }
  DiskCache cache(folder_, kBound);
  put(cache, "d", payload);
  EXPECT_EQ(cache.counters().evicted, 1);
  EXPECT_FALSE(get(cache, "b").has_value());
  for (const char* key : {"a", "c", "d"}) EXPECT_TRUE(get(cache, key).has_value()) << key;
  EXPECT_LE(cache.used_bytes(), kBound);
  const DiskCache smaller(folder_, 1200);
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(DiskCacheTest, KeptEntriesLeaveForKeptOnesAlone) {
  const std::string payload(1000, 'x');
  constexpr int64_t kBound = 3500;  // three entries of 1128 bytes
  const auto put_kept = [&](DiskCache& cache, const std::string& key) {
    const std::span<const std::byte> part = bytes_of(payload);
    return cache.put(key, {&part, 1}, Keep::kKept);
  };
  {
    DiskCache cache(folder_, kBound);
    EXPECT_TRUE(put_kept(cache, "kept"));
    put(cache, "made kept", payload);
    cache.set_keep("made kept", Keep::kKept);
    for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(put(cache, key, payload));
    EXPECT_FALSE(get(cache, "a").has_value());
    EXPECT_TRUE(put(cache, "kept", payload)) << "it stays kept";
    EXPECT_FALSE(get(cache, "c").has_value()) << "room was made for it";
  }
  DiskCache cache(folder_, kBound);
  const std::vector<std::string> keys = cache.kept_keys("k");
  EXPECT_EQ(keys, std::vector<std::string>{"kept"});
  EXPECT_EQ(cache.kept_keys("").size(), 2u);
  EXPECT_TRUE(put_kept(cache, "third"));
  testing::internal::CaptureStderr();
  EXPECT_FALSE(put(cache, "a", payload));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("pins leave"), std::string::npos);
  // "made kept" was used longest ago.
  EXPECT_TRUE(put_kept(cache, "fourth"));
  EXPECT_FALSE(cache.contains("made kept"));
  EXPECT_TRUE(cache.contains("kept") && cache.contains("third") && cache.contains("fourth"));
  cache.set_keep("third", Keep::kOrdinary);
  EXPECT_TRUE(put(cache, "a", payload));
  EXPECT_FALSE(cache.contains("third"));
  cache.remove("kept");
  EXPECT_FALSE(cache.contains("kept"));
  EXPECT_LE(cache.used_bytes(), kBound);
}

TEST_F(DiskCacheTest, LeavesOtherFilesAlone) {
  overwrite(folder_ / "notes.txt", std::string(5000, 'n'));
  DiskCache cache(folder_, 2000);
  EXPECT_EQ(cache.used_bytes(), 0);
  put(cache, "a", std::string(1000, 'x'));
  put(cache, "b", std::string(1000, 'x'));
  EXPECT_TRUE(fs::exists(folder_ / "notes.txt"));
}

TEST_F(DiskCacheTest, GoesOnWithoutStoringWhatIsLargerThanTheBound) {
  DiskCache cache(folder_, 500);
  testing::internal::CaptureStderr();
  EXPECT_FALSE(put(cache, "a", std::string(1000, 'x')));
  EXPECT_FALSE(put(cache, "b", std::string(1000, 'x')));
  const std::string log = testing::internal::GetCapturedStderr();
  const std::size_t first = log.find("cache_not_stored");
  EXPECT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("cache_not_stored", first + 1), std::string::npos) << log;
  EXPECT_TRUE(put(cache, "a", "small"));
  EXPECT_EQ(cache.counters().failed_writes, 2);
}

// A write that the system refuses half-way, as on a full disk.
TEST_F(DiskCacheTest, GoesOnWhenTheDiskRefuses) {
  DiskCache cache(folder_, 1 << 20);
  put(cache, "old", "kept");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const bool is_stored = put(cache, "new", std::string(100000, 'x'));
  const bool is_replaced = put(cache, "old", std::string(100000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(is_stored);
  EXPECT_FALSE(is_replaced);
  EXPECT_EQ(get(cache, "old"), "kept");
  EXPECT_FALSE(get(cache, "new").has_value());
  EXPECT_EQ(files().size(), 1u) << "a temporary file was left";
  EXPECT_TRUE(put(cache, "new", "later"));
}

TEST_F(DiskCacheTest, AVanishedFolderIsAMissAndARefusal) {
  DiskCache cache(folder_, 1 << 20);
  put(cache, "key", "payload");
  fs::remove_all(folder_);
  EXPECT_FALSE(get(cache, "key").has_value());
  EXPECT_FALSE(put(cache, "key", "payload"));
  EXPECT_EQ(cache.used_bytes(), 0);
  fs::create_directories(folder_);
  EXPECT_TRUE(put(cache, "key", "payload"));
}

TEST_F(DiskCacheTest, RefusesAFolderThatCannotBe) {
  overwrite(folder_ / "file", "x");
  try {
    DiskCache cache(folder_ / "file" / "folder", 1000);
    FAIL() << "a folder inside a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("file/folder"), std::string::npos);
  }
}

// Every byte of a small file, and every length of it.
TEST_F(DiskCacheTest, AnyDamageIsAMissAndTheFileIsRemoved) {
  DiskCache cache(folder_, 1 << 20);
  put(cache, "some key", "some payload of a few bytes");
  const fs::path path = files().at(0);
  const std::string good = read(path);
  testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    overwrite(path, bad);
    ASSERT_FALSE(get(cache, "some key").has_value()) << "byte " << i;
    ASSERT_FALSE(fs::exists(path)) << "byte " << i;
    overwrite(path, good.substr(0, i));
    ASSERT_FALSE(get(cache, "some key").has_value()) << "cut at " << i;
  }
  overwrite(path, good + "x");
  EXPECT_FALSE(get(cache, "some key").has_value());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("cache_file_removed"), std::string::npos);
  EXPECT_EQ(cache.counters().damaged, static_cast<int64_t>(2 * good.size() + 1));
  overwrite(path, good);
  EXPECT_EQ(get(cache, "some key"), "some payload of a few bytes");
}

TEST_F(DiskCacheTest, AFileUnderTheNameOfAnotherKeyIsAMiss) {
  DiskCache cache(folder_, 1 << 20);
  put(cache, "one", "payload of one");
  const fs::path one = files().at(0);
  const std::string content = read(one);
  put(cache, "two", "payload of two");
  for (const fs::path& path : files()) overwrite(path, content);
  EXPECT_EQ(get(cache, "one"), "payload of one");
  EXPECT_FALSE(get(cache, "two").has_value());
}

TEST_F(DiskCacheTest, RemovesWhatACrashedWriterLeft) {
  {
    DiskCache cache(folder_, 1 << 20);
    put(cache, "key", "payload");
  }
  const std::string name = files().at(0).string();
  overwrite(name + ".tmp-1-1", "old");
  overwrite(name + ".tmp-2-1", "being written");
  fs::last_write_time(name + ".tmp-1-1", fs::file_time_type::clock::now() - std::chrono::hours(2));
  const DiskCache cache(folder_, 1 << 20);
  EXPECT_FALSE(fs::exists(name + ".tmp-1-1"));
  EXPECT_TRUE(fs::exists(name + ".tmp-2-1"));
}

std::string payload_of(uint64_t number) {
  Generator generator(number);
  std::string payload(200 + generator.below(3000), '\0');
  for (char& c : payload) c = static_cast<char>(generator.below(256));
  return payload;
}

// Four processes that store, look up and remove the same keys in one folder with little room: what
// is found is right, and the folder stays within its bound.
TEST_F(DiskCacheTest, ProcessesShareAFolderWithoutLocks) {
  constexpr int kProcesses = 4;
  constexpr int64_t kBound = 20000;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int status = 0;
      try {
        DiskCache cache(folder_, kBound);
        Generator generator(static_cast<uint64_t>(p) + 1);
        int64_t hits = 0;
        for (int i = 0; i < 500; ++i) {
          const uint64_t number = generator.below(20);
          const std::string key = std::to_string(number);
          const uint64_t choice = generator.below(8);
          if (choice == 0) {
            cache.remove(key);
          } else if (choice < 4) {
            if (!put(cache, key, payload_of(number))) status |= 1;
          } else if (const auto found = get(cache, key)) {
            if (*found != payload_of(number)) status |= 2;
            ++hits;
          }
        }
        if (cache.counters().damaged > 0) status |= 4;
        if (hits == 0) status |= 8;
      } catch (...) {
        status |= 16;
      }
      ::_exit(status);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  int64_t sum = 0;
  for (const fs::path& path : files()) sum += static_cast<int64_t>(fs::file_size(path));
  EXPECT_LE(sum, kBound);
  EXPECT_GT(sum, 0);
}

TEST(CacheFile, SaysWhereItIsWrong) {
  const auto refusal = [](const std::string& content) -> std::string {
    try {
      parse_cache_file(bytes_of(content), "f");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      return error.what();
    }
    return "accepted";
  };
  auto head = cache_head(3, 0);
  const std::string good(reinterpret_cast<const char*>(head.data()), head.size());
  EXPECT_EQ(refusal(good + "key" + std::string(61, '\0')), "accepted");
  EXPECT_NE(refusal("").find("ends at offset 0"), std::string::npos);
  EXPECT_NE(refusal(good).find("payload"), std::string::npos);
  EXPECT_NE(refusal(std::string(64, 'x')).find("offset 0"), std::string::npos);
  std::string newer = good;
  newer[8] = 2;
  EXPECT_NE(refusal(newer).find("has version 2, expected 1, offset 8"), std::string::npos);
  std::string long_key = good;
  long_key[15] = '\xff';
  EXPECT_NE(refusal(long_key).find("offset 12"), std::string::npos);
}

}  // namespace
}  // namespace llava::engine
