// SPDX-License-Identifier: Apache-2.0
#include "batch_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>

#include "llava/core/random.h"
#include "llava/image/decode.h"

namespace llava::testing {
namespace {

// Coloured blocks: pictures that differ in what a tower sees of them.
std::string make_picture(int index) {
  Generator generator(static_cast<uint64_t>(index));
  const auto side = [&] { return static_cast<int32_t>(20 + generator.below(40)); };
  image::RgbImage picture({side(), side()});
  constexpr int32_t kBlock = 12;
  for (int32_t y = 0; y < picture.size.height; y += kBlock) {
    for (int32_t x = 0; x < picture.size.width; x += kBlock) {
      const uint64_t color = generator();
      for (int32_t v = y; v < std::min(y + kBlock, picture.size.height); ++v) {
        for (int32_t u = x; u < std::min(x + kBlock, picture.size.width); ++u) {
          for (int32_t c = 0; c < 3; ++c) {
            picture.row(v)[u * 3 + c] = static_cast<uint8_t>(color >> (8 * c));
          }
        }
      }
    }
  }
  return image::encode_png(picture);
}

}  // namespace

std::filesystem::path BatchTrial::picture(int index) const {
  return folder_ / "pictures" / fmt::format("{:05}.png", index);
}

void BatchTrial::make_pictures(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    std::string file = make_picture(i);
    if (is_damaged(i)) file.resize(file.size() / 2);
    write("pictures/" + picture(i).filename().string(), file);
    lines += fmt::format(R"({{"id": {}, "image": "{}", "question": "What is in picture {}?"}})", i,
                         picture(i).filename().string(), i % 3) +
             "\n";
  }
  write("questions.jsonl", lines);
}

ProcessRequest BatchTrial::command(const std::string& output, std::vector<std::string> more) const {
  ProcessRequest request = program_request(
      std::vector<std::string>{"batch", "--model-path", golden_model("llava-v1.5-pad"), "--dtype",
                               "float32", "--input", (folder_ / "questions.jsonl").string(),
                               "--image-folder", (folder_ / "pictures").string(), "--output",
                               (folder_ / output).string(), "--max-new-tokens", "8",
                               "--encoder-cache-mb", "1"} +
      std::move(more));
  request.timeout = timeout_;
  return request;
}

int BatchTrial::num_records(const std::string& output) const {
  std::ifstream file(folder_ / output, std::ios::binary);
  return static_cast<int>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

std::string BatchTrial::content(const std::string& output) const {
  return read_text(folder_ / output);
}

void BatchTrial::wait_for_records(Process& process, const std::string& output, int count) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout_;
  while (num_records(output) < count) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no " << count << " records in time";
    ASSERT_GT(process.resident_bytes(), 0) << "ended before " << count << " records";
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

int BatchTrial::run_and_kill(const std::string& output, int at_record) const {
  Process process(command(output));
  wait_for_records(process, output, at_record);
  process.send_signal(SIGKILL);
  EXPECT_EQ(process.finish().status, 128 + SIGKILL);
  return num_records(output);
}

BatchTrial::MemoryUse BatchTrial::run_and_measure(const std::string& output, int count) const {
  ProcessRequest request = command(output);
  // One arena that gives back what is free, and large pieces apart from it, so that what is left is
  // the program's own.
  request.environment["MALLOC_ARENA_MAX"] = "1";
  request.environment["MALLOC_MMAP_THRESHOLD_"] = "16384";
  request.environment["MALLOC_TRIM_THRESHOLD_"] = "65536";
  Process process(request);
  // What the process had while it wrote these records, in order of size.
  const auto sizes_between = [&](int begin, int end) {
    std::vector<int64_t> sizes;
    wait_for_records(process, output, begin);
    while (num_records(output) < end) {
      const int64_t now = process.resident_bytes();
      if (now <= 0) break;
      sizes.push_back(now);
    }
    std::ranges::sort(sizes);
    return sizes;
  };
  const auto early = sizes_between(kWarmUp, 2 * kWarmUp);
  const auto late = sizes_between(2 * count / 3, count);
  EXPECT_FALSE(early.empty() || late.empty()) << early.size() << ", " << late.size();
  MemoryUse use;
  if (!early.empty()) use.early_bytes = early[early.size() / 2];
  if (!late.empty()) use.late_bytes = late.front();
  const ProcessResult result = process.finish();
  EXPECT_EQ(result.status, 0) << result.err;
  return use;
}

std::vector<std::string> BatchTrial::check_records(const std::string& output, int count) const {
  std::vector<std::string> answers;
  std::ifstream file(folder_ / output);
  std::string line;
  int index = 0;
  const auto* result = ::testing::UnitTest::GetInstance()->current_test_info()->result();
  const int num_parts = result->total_part_count();
  for (; std::getline(file, line); ++index) {
    const Json record = parse_json(line, output);
    EXPECT_EQ(record.at("index"), index);
    EXPECT_EQ(record.at("id"), index);
    EXPECT_EQ(record.at("image"), picture(index).filename().string());
    EXPECT_EQ(record.at("question"), fmt::format("What is in picture {}?", index % 3));
    EXPECT_EQ(record.contains("error"), is_damaged(index)) << line;
    if (is_damaged(index)) {
      EXPECT_EQ(record.at("error").at("code"), "bad_format");
    } else {
      EXPECT_GT(record.at("usage").at("image_tokens"), 0);
      answers.push_back(record.at("answer").get<std::string>());
    }
    if (result->total_part_count() > num_parts) return answers;
  }
  EXPECT_EQ(index, count);
  return answers;
}

}  // namespace llava::testing
