// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/gzip_reader.h"

#include <gtest/gtest.h>

#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/crc.hpp>
#include <random>

namespace llava::serve {
namespace {

namespace zlib = boost::beast::zlib;

std::string little_endian(uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

std::string head_with(char flags) {
  return std::string("\x1f\x8b\x08", 3) + flags + std::string("\0\0\0\0\0\xff", 6);
}

std::string trailer_of(const std::string& text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return little_endian(crc.checksum()) + little_endian(static_cast<uint32_t>(text.size()));
}

std::string deflate(const std::string& text) {
  zlib::deflate_stream stream;
  std::string out(text.size() + 1000, '\0');
  zlib::z_params params;
  params.next_in = text.data();
  params.avail_in = text.size();
  params.next_out = out.data();
  params.avail_out = out.size();
  boost::system::error_code error;
  stream.write(params, zlib::Flush::finish, error);
  out.resize(out.size() - params.avail_out);
  return out;
}

std::string gzip(const std::string& text) {
  return head_with(0) + deflate(text) + trailer_of(text);
}

struct Outcome {
  int status = 200;
  bool is_done = false;
  std::string text;
};

Outcome unpack(const std::string& bytes, uint64_t max_bytes = 1 << 20, std::size_t step = 7) {
  GzipReader reader(max_bytes);
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto error = reader.push(std::string_view(bytes).substr(at, step), outcome.text);
    if (error) {
      outcome.status = error->status;
      return outcome;
    }
  }
  outcome.is_done = reader.is_done();
  return outcome;
}

std::string some_text(std::size_t size) {
  std::mt19937 random(3);
  std::string text;
  while (text.size() < size) text += "word" + std::to_string(random() % 5000) + " ";
  return text;
}

TEST(GzipReader, WhatGzipWrites) {
  // printf body | gzip -n
  const std::string packed(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xca\x4f\xa9\x04\x00\xb2\x0b\xa8\xdb\x04\x00\x00"
      "\x00",
      24);
  for (std::size_t step = 1; step <= packed.size(); ++step) {
    const Outcome outcome = unpack(packed, 4, step);
    EXPECT_TRUE(outcome.is_done);
    EXPECT_EQ(outcome.text, "body");
  }
  EXPECT_EQ(unpack(packed, 3).status, 413);
}

TEST(GzipReader, TextsOfAllSizes) {
  for (const std::size_t size : {0, 1, 100, 32'768, 300'000}) {
    const std::string text = some_text(size);
    for (const std::size_t step : {13, 16'384, 1'000'000}) {
      const Outcome outcome = unpack(gzip(text), 1 << 20, step);
      EXPECT_TRUE(outcome.is_done) << size;
      EXPECT_TRUE(outcome.text == text) << size;
    }
  }
}

TEST(GzipReader, HeadsWithNamesAndMore) {
  const std::string text = "text";
  const std::string rest = deflate(text) + trailer_of(text);
  const std::string extra(
      "\x03\x00"
      "abc",
      5),
      name("name\0", 5), comment("more\0", 5);
  EXPECT_EQ(unpack(head_with(8) + name + rest).text, text);
  EXPECT_EQ(unpack(head_with(30) + extra + name + comment + "cc" + rest, 4, 1).text, text);
  EXPECT_EQ(unpack(head_with('\x20') + rest).status, 400);
  EXPECT_EQ(unpack(head_with(8) + std::string(10'000, 'n')).status, 400);
}

TEST(GzipReader, Damage) {
  const std::string packed = gzip(some_text(1000));
  for (std::size_t size = 0; size < packed.size(); ++size) {
    EXPECT_FALSE(unpack(packed.substr(0, size)).is_done) << size;
  }
  EXPECT_EQ(unpack("PK\x03\x04").status, 400);
  EXPECT_EQ(unpack(packed + "x").status, 400);
  std::string wrong = packed;
  wrong[wrong.size() - 6] ^= 1;
  EXPECT_EQ(unpack(wrong).status, 400);
  wrong = packed;
  wrong.back() ^= 1;
  EXPECT_EQ(unpack(wrong).status, 400);
}

// A megabyte of a kilobyte, and so on: what is unpacked stays within the bounds at any time.
TEST(GzipReader, BombsAreRefusedEarly) {
  const std::string bomb = gzip(std::string(64 << 20, '\0'));
  ASSERT_LT(bomb.size(), 100'000u);
  for (const std::size_t step : {100, 16'384, 1'000'000}) {
    const Outcome outcome = unpack(bomb, uint64_t{1} << 40, step);
    EXPECT_EQ(outcome.status, 413);
    EXPECT_LE(outcome.text.size(), kMaxGzipRatio * bomb.size());
  }
  // The bound on the body holds below that ratio too.
  const Outcome large = unpack(gzip(some_text(300'000)), 100'000, 16'384);
  EXPECT_EQ(large.status, 413);
  EXPECT_LE(large.text.size(), 100'000u);
}

}  // namespace
}  // namespace llava::serve
