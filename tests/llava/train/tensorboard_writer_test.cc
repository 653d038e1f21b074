// SPDX-License-Identifier: Apache-2.0
#include "llava/train/tensorboard_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <filesystem>

#include "llava/core/file.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

// The check value of CRC-32C is 0xe3069283 (RFC 3720, appendix B.4, has more).
TEST(TensorBoardWriterTest, ChecksumIsCastagnolis) {
  const uint32_t masked = masked_crc32c("123456789");
  EXPECT_EQ(masked, std::rotr(0xe3069283u, 15) + 0xa282ead8u);
}

TEST(TensorBoardWriterTest, RecordsAreWhole) {
  const fs::path folder =
      fs::temp_directory_path() / ("llava_tensorboard_" + std::to_string(::getpid()));
  {
    TensorBoardWriter writer(folder);
    writer.add_scalar("train/loss", 2.5, 7);
  }
  std::vector<std::string> events;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string data = read_file(entry.path(), 1 << 20);
    for (std::size_t at = 0; at < data.size();) {
      uint64_t size = 0;
      uint32_t length_sum = 0, data_sum = 0;
      ASSERT_LE(at + 16, data.size());
      std::memcpy(&size, data.data() + at, 8);
      std::memcpy(&length_sum, data.data() + at + 8, 4);
      EXPECT_EQ(length_sum, masked_crc32c(std::string_view(data).substr(at, 8)));
      ASSERT_LE(at + 16 + size, data.size());
      std::memcpy(&data_sum, data.data() + at + 12 + size, 4);
      events.push_back(data.substr(at + 12, size));
      EXPECT_EQ(data_sum, masked_crc32c(events.back()));
      at += 16 + size;
    }
  }
  fs::remove_all(folder);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  EXPECT_NE(events[1].find("train/loss"), std::string::npos);
  // Field 2 (simple_value) as fixed32, then 2.5 in little endian.
  EXPECT_NE(events[1].find(std::string("\x15\x00\x00\x20\x40", 5)), std::string::npos);
  // Field 2 of the event (step) as a varint.
  EXPECT_EQ(events[1].substr(9, 2), "\x10\x07");
}

}  // namespace
}  // namespace llava::train
