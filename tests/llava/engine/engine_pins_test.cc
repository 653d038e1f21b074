// SPDX-License-Identifier: Apache-2.0
//
// Pins and the cache on disk with the fake runner: what was computed once is found again, after a
// restart too, and an answer never depends on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "fake_engine.h"
#include "llava/core/file.h"
#include "llava/engine/cache_keys.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kPictureTokens = 40;
constexpr int32_t kPictureAt = 10;
// Behind the picture the prompt has 50 tokens: three pages of 16.
constexpr int32_t kPinnedTokens = 48;

// A question about a picture: 10 tokens of text, the picture, and text of its own.
GenerationRequest question(int32_t picture, int32_t text, const std::string& pin = {}) {
  std::vector<int32_t> ids(kPictureAt + kPictureTokens + 20, 7);
  for (std::size_t i = kPictureAt + kPictureTokens; i < ids.size(); ++i) ids[i] = text;
  GenerationRequest request =
      fake_request(std::move(ids), {{picture, kPictureAt}}, kPictureTokens, 8);
  request.pin = pin;
  return request;
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// What is logged while a function runs.
std::string log_of(const std::function<void()>& function) {
  testing::internal::CaptureStderr();
  function();
  return testing::internal::GetCapturedStderr();
}

class EnginePinsTest : public testing::Test {
 protected:
  EnginePinsTest() {
    std::string pattern = (fs::temp_directory_path() / "llava-pins-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~EnginePinsTest() override { fs::remove_all(folder_); }

  std::unique_ptr<FakeEngine> open(const std::string& model = "model", int32_t num_tokens = 4096,
                                   int32_t num_replicas = 1) {
    auto fake = std::make_unique<FakeEngine>(num_tokens);
    fake->num_replicas = num_replicas;
    fake->cache_folder = folder_;
    fake->model = model;
    fake->start();
    return fake;
  }

  // Asks, and compares the answer with the definition.
  static AnswerUsage ask(FakeEngine& fake, const GenerationRequest& request) {
    const FakeAnswer answer = read_all(*fake.engine->submit(request)).front();
    const FakeAnswer expected = answer_alone(request);
    EXPECT_EQ(answer.ids, expected.ids);
    EXPECT_EQ(answer.logprobs, expected.logprobs);
    return answer.usage;
  }

  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path());
    return found;
  }

  fs::path folder_;
};

TEST_F(EnginePinsTest, FeaturesSurviveARestart) {
  {
    const auto fake = open();
    EXPECT_EQ(ask(*fake, question(1, 3)).encoded_images, 1);
  }
  const auto fake = open();
  const AnswerUsage usage = ask(*fake, question(1, 4));
  EXPECT_EQ(usage.encoded_images, 0);
  EXPECT_EQ(usage.cached_tokens, 0);
  EXPECT_EQ(fake->runner->num_encoded, 0);
  EXPECT_EQ(ask(*fake, question(2, 4)).encoded_images, 1);
  fake->engine->wait_until_idle();
  EXPECT_EQ(fake->engine->stats().features_from_disk, 1);
}

TEST_F(EnginePinsTest, PinsSurviveARestart) {
  {
    const auto fake = open();
    EXPECT_EQ(ask(*fake, question(1, 3, "cat")).cached_tokens, 0);
  }
  // By name, and by showing the same picture behind the same text.
  for (const std::string pin : {"cat", ""}) {
    SCOPED_TRACE("pin '" + pin + "'");
    const auto fake = open();
    const AnswerUsage usage = ask(*fake, question(1, 4, pin));
    EXPECT_EQ(usage.cached_tokens, kPinnedTokens);
    EXPECT_EQ(usage.encoded_images, 0);
    EXPECT_EQ(fake->runner->num_encoded, 0);
    EXPECT_EQ(fake->runner->num_tokens,
              usage.prompt_tokens - kPinnedTokens + usage.completion_tokens - 1);
    fake->engine->wait_until_idle();
    EXPECT_EQ(fake->engine->stats().prefixes_from_disk, 1);
    EXPECT_EQ(fake->engine->stats().pages_pinned, pin.empty() ? 0 : 3);
  }
  const auto fake = open();
  GenerationRequest salted = question(1, 4);
  salted.cache_salt = "another client";
  EXPECT_EQ(ask(*fake, salted).cached_tokens, 0);
}

TEST_F(EnginePinsTest, ReplicasHaveAPinTogether) {
  {
    const auto fake = open("model", 4096, 2);
    EXPECT_EQ(ask(*fake, question(1, 3, "cat")).cached_tokens, 0);
    EXPECT_EQ(ask(*fake, question(2, 3, "dog")).cached_tokens, 0);
    for (const std::string pin : {"cat", "dog"}) {
      EXPECT_EQ(ask(*fake, question(pin == "cat" ? 1 : 2, 4, pin)).cached_tokens, kPinnedTokens);
    }
    // Another prompt of that name takes its place.
    EXPECT_EQ(ask(*fake, question(3, 3, "cat")).cached_tokens, 0);
    fake->engine->wait_until_idle();
    EXPECT_EQ(fake->engine->stats().pages_pinned, 2 * 3);
    const std::vector<PinInfo> pins = fake->engine->pins();
    ASSERT_EQ(pins.size(), 2u);
    EXPECT_EQ(pins.front().name, "cat");
    EXPECT_TRUE(pins.front().is_in_memory);
    EXPECT_TRUE(fake->engine->unpin("dog"));
    EXPECT_FALSE(fake->engine->unpin("dog"));
  }
  const auto fake = open("model", 4096, 2);
  EXPECT_EQ(fake->engine->pins().size(), 1u);
  EXPECT_EQ(ask(*fake, question(3, 4, "cat")).cached_tokens, kPinnedTokens);
}

TEST_F(EnginePinsTest, SeveralPicturesAreFoundUpToTheLastOneThatIsPinned) {
  const auto with_two = [](int32_t second, const std::string& pin) {
    GenerationRequest request =
        fake_request(std::vector<int32_t>(120, 7), {{1, 10}, {second, 60}}, kPictureTokens, 5);
    request.pin = pin;
    return request;
  };
  ask(*open(), question(1, 3, "first"));
  EXPECT_EQ(ask(*open(), with_two(2, "both")).cached_tokens, kPinnedTokens);
  EXPECT_EQ(ask(*open(), with_two(2, "")).cached_tokens, 96);
  EXPECT_EQ(ask(*open(), with_two(3, "")).cached_tokens, kPinnedTokens);
}

TEST_F(EnginePinsTest, ATextIsFoundByItsName) {
  const auto text = [](int32_t last, const std::string& pin) {
    std::vector<int32_t> ids(70, 5);
    for (std::size_t i = 64; i < ids.size(); ++i) ids[i] = last;
    GenerationRequest request = fake_request(std::move(ids), {}, 0, 4);
    request.pin = pin;
    return request;
  };
  ask(*open(), text(1, "rules"));
  EXPECT_EQ(ask(*open(), text(2, "rules")).cached_tokens, 64);
  GenerationRequest longer = text(1, "rules");
  longer.prompt.ids.resize(200, 6);
  EXPECT_EQ(ask(*open(), longer).cached_tokens, 64);
}

TEST_F(EnginePinsTest, EvictionDoesNotDropPins) {
  FakeEngine fake(400);  // 25 pages; nothing on disk
  fake.start();
  ask(fake, question(1, 3, "cat"));
  for (int32_t i = 0; i < 30; ++i) ask(fake, question(2 + i, 3));
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->stats().pages_pinned, 3);
  EXPECT_EQ(ask(fake, question(1, 4)).cached_tokens, kPinnedTokens);
}

TEST_F(EnginePinsTest, PinsStayOnDiskBeforeFeatures) {
  const auto fake = open();
  ask(*fake, question(1, 3, "cat"));
  fake->engine->flush_cache();
  const std::size_t num_kept = files().size();
  EXPECT_EQ(num_kept, 3u) << "a prefix, its record and a picture's features";
  fake->engine.reset();
  fake->cache_bytes = 4096;
  fake->start();
  for (int32_t i = 0; i < 50; ++i) ask(*fake, question(2 + i, 3));
  EXPECT_EQ(ask(*open(), question(1, 4)).cached_tokens, kPinnedTokens);
}

TEST_F(EnginePinsTest, UnpinFreesMemoryAndDisk) {
  const auto fake = open();
  ask(*fake, question(1, 3, "cat"));
  ask(*fake, question(1, 4, "same"));
  ask(*fake, question(2, 3, "dog"));
  const auto names = [&] {
    std::vector<std::string> list;
    for (const PinInfo& pin : fake->engine->pins()) {
      EXPECT_EQ(pin.num_tokens, kPinnedTokens);
      EXPECT_TRUE(pin.is_in_memory && pin.is_on_disk) << pin.name;
      list.push_back(pin.name);
    }
    return list;
  };
  EXPECT_THAT(names(), testing::ElementsAre("cat", "dog", "same"));
  EXPECT_TRUE(fake->engine->unpin("cat"));
  EXPECT_FALSE(fake->engine->unpin("cat"));
  EXPECT_THAT(names(), testing::ElementsAre("dog", "same"));
  EXPECT_EQ(ask(*open(), question(1, 5)).cached_tokens, kPinnedTokens) << "'same' holds it";
  EXPECT_TRUE(fake->engine->unpin("same"));
  EXPECT_TRUE(fake->engine->unpin("dog"));
  EXPECT_TRUE(fake->engine->pins().empty());
  fake->engine->wait_until_idle();
  EXPECT_EQ(fake->engine->stats().pages_pinned, 0);
  EXPECT_EQ(files().size(), 2u) << "the features of two pictures";
  EXPECT_EQ(ask(*open(), question(1, 5)).cached_tokens, 0);
}

TEST_F(EnginePinsTest, ANameMovesToWhatItIsGivenNext) {
  const auto fake = open();
  ask(*fake, question(1, 3, "it"));
  ask(*fake, question(2, 3, "it"));
  fake->engine->flush_cache();
  fake->engine->wait_until_idle();
  EXPECT_EQ(fake->engine->stats().pages_pinned, 3);
  EXPECT_EQ(fake->engine->pins().size(), 1u);
  EXPECT_EQ(ask(*open(), question(2, 4)).cached_tokens, kPinnedTokens);
  EXPECT_EQ(ask(*open(), question(1, 4)).cached_tokens, 0);
}

TEST_F(EnginePinsTest, AnswersComeFromADamagedCacheToo) {
  {
    const auto fake = open();
    ask(*fake, question(1, 3, "cat"));
  }
  const std::vector<fs::path> good = files();
  ASSERT_EQ(good.size(), 3u);
  for (const fs::path& path : good) {
    const std::string content = read_file(path, 1 << 20);
    std::string bad = content;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    AnswerUsage usage;
    // The name is not needed to find the prefix.
    const std::string log = log_of([&] { usage = ask(*open(), question(1, 4, "cat")); });
    EXPECT_LE(count_of(log, "cache_file_removed"), 1) << log;
    EXPECT_EQ(count_of(log, "warning"), count_of(log, "cache_file_removed")) << log;
    EXPECT_TRUE(usage.cached_tokens == 0 || usage.cached_tokens == kPinnedTokens);
    // It was stored again, unless nothing needed it.
    EXPECT_EQ(ask(*open(), question(1, 5)).cached_tokens, kPinnedTokens);
  }
}

// A file that is whole, but not what the runner's pages are.
TEST_F(EnginePinsTest, APrefixOfAnotherSizeIsAMiss) {
  {
    const auto fake = open();
    const std::string key =
        prefix_key("model prefixes", question(1, 3), kPinnedTokens, /*page_size=*/16);
    std::vector<std::byte> bytes(100);
    const auto cache = fake->open_cache();
    cache->store_pin("cat", cache->record_of(key, kPinnedTokens, {}), key, bytes);
  }
  const std::string log = log_of([&] { EXPECT_EQ(ask(*open(), question(1, 4)).cached_tokens, 0); });
  EXPECT_EQ(count_of(log, "prefix_not_restored"), 1) << log;
}

TEST_F(EnginePinsTest, AnotherModelFindsNothing) {
  ask(*open("one"), question(1, 3, "cat"));
  AnswerUsage usage;
  const std::string silent = log_of([&] { usage = ask(*open("two"), question(1, 4)); });
  EXPECT_EQ(usage.cached_tokens, 0);
  EXPECT_EQ(usage.encoded_images, 1);
  EXPECT_EQ(count_of(silent, "warning"), 0) << silent;
  const std::string log = log_of([&] { usage = ask(*open("two"), question(1, 4, "cat")); });
  EXPECT_EQ(usage.cached_tokens, 0);
  EXPECT_EQ(count_of(log, "pin_not_used"), 1) << log;
  // The name is the second model's now.
  EXPECT_EQ(open("two")->engine->pins().size(), 1u);
  EXPECT_TRUE(open("one")->engine->pins().empty());
  EXPECT_EQ(ask(*open("two"), question(1, 5)).cached_tokens, kPinnedTokens);
}

// A write that the system refuses half-way, as on a full disk.
TEST_F(EnginePinsTest, AFullDiskCostsAWarning) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 64;
  const auto fake = open();
  // The log is a file as well while it is captured.
  std::string log;
  {
    testing::internal::CaptureStdout();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    for (int32_t i = 0; i < 3; ++i) ask(*fake, question(i, 3, "pin" + std::to_string(i)));
    fake->engine->flush_cache();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    testing::internal::GetCapturedStdout();
  }
  ::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(files().empty());
  EXPECT_EQ(fake->engine->pins().size(), 3u) << "in memory they are held";
  // When there is room again, what is asked is stored.
  ask(*fake, question(1, 4, "pin1"));
  fake->engine->flush_cache();
  EXPECT_EQ(ask(*open(), question(1, 5)).cached_tokens, kPinnedTokens);
}

TEST_F(EnginePinsTest, AFullDiskIsSaidOnce) {
  const auto fake = open();
  fs::remove_all(folder_);
  const std::string log = log_of([&] {
    for (int32_t i = 0; i < 3; ++i) ask(*fake, question(i, 3, "pin" + std::to_string(i)));
    fake->engine->flush_cache();
  });
  EXPECT_EQ(count_of(log, "cache_not_stored"), 1) << log;
  EXPECT_EQ(count_of(log, "warning"), 1) << log;
}

TEST_F(EnginePinsTest, PinsHoldHalfOfTheMemoryAtMost) {
  FakeEngine fake(192);  // 12 pages, 6 for pins
  fake.start();
  ask(fake, question(1, 3, "one"));
  ask(fake, question(2, 3, "two"));
  try {
    ask(fake, question(3, 3, "three"));
    FAIL() << "a third pin";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    const std::string message = error.what();
    EXPECT_NE(message.find("48 tokens of 'three'"), std::string::npos) << message;
    EXPECT_NE(message.find("would hold 144 tokens"), std::string::npos) << message;
    EXPECT_NE(message.find("may hold 96 of its 192"), std::string::npos) << message;
  }
  // What is there already costs nothing, and a name that moves gives back what it held.
  ask(fake, question(1, 4, "again"));
  EXPECT_TRUE(fake.engine->unpin("again"));
  ask(fake, question(3, 3, "two"));
  // A prompt that does not fit beside the pins is refused, with the sum.
  try {
    ask(fake, fake_request(std::vector<int32_t>(120, 9), {}, 0, 4));
    FAIL() << "a prompt larger than what is left";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("120 tokens"), std::string::npos) << message;
    EXPECT_NE(message.find("192 and 96 of them are pinned"), std::string::npos) << message;
  }
  GenerationRequest sharing = question(1, 5);
  sharing.prompt.ids.resize(120, 9);
  EXPECT_EQ(ask(fake, sharing).cached_tokens, kPinnedTokens);
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->stats().rejected, 2);
}

TEST_F(EnginePinsTest, RefusesWhatCannotBePinned) {
  FakeEngine fake(400);
  fake.start();
  EXPECT_THROW(fake.engine->submit(question(1, 3, "a\nb")), Error);
  EXPECT_THROW(fake.engine->submit(question(1, 3, std::string(129, 'a'))), Error);
  GenerationRequest tiny = fake_request({1, 2, 3}, {}, 0, 4);
  tiny.pin = "tiny";
  EXPECT_THROW(fake.engine->submit(tiny), Error);
  FakeEngine without(400);
  without.config.scheduler.prefix_cache = "off";
  without.start();
  EXPECT_THROW(without.engine->submit(question(1, 3, "cat")), Error);
  EXPECT_FALSE(without.engine->unpin("cat"));
}

// Two engines on one folder with little room, each asked by two threads, and opened again and
// again: every answer is that of the request alone.
TEST_F(EnginePinsTest, EnginesShareAFolder) {
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      Generator random(t + 1);
      for (int round = 0; round < 5; ++round) {
        FakeEngine fake(1024);
        fake.cache_folder = folder_;
        fake.cache_bytes = 20000;
        fake.encoder_cache_bytes = 2 * kPictureTokens;
        fake.start();
        std::vector<std::pair<GenerationRequest, std::shared_ptr<AnswerStream>>> asked;
        for (int i = 0; i < 40; ++i) {
          const auto picture = static_cast<int32_t>(random.below(6));
          std::string pin;
          if (random.below(2) == 0) pin = "pin" + std::to_string(random.below(4));
          GenerationRequest request =
              question(picture, static_cast<int32_t>(random.below(400)), pin);
          auto stream = fake.engine->submit(request);
          asked.emplace_back(std::move(request), std::move(stream));
          if (random.below(8) == 0) fake.engine->unpin("pin" + std::to_string(random.below(4)));
        }
        for (const auto& [request, stream] : asked) {
          const FakeAnswer answer = read_all(*stream).front();
          const FakeAnswer expected = answer_alone(request);
          EXPECT_EQ(answer.ids, expected.ids);
          EXPECT_EQ(answer.logprobs, expected.logprobs);
        }
      }
    });
  }
  threads.clear();
  int64_t sum = 0;
  for (const fs::path& path : files()) sum += static_cast<int64_t>(fs::file_size(path));
  EXPECT_LE(sum, 20000);
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace llava::engine
