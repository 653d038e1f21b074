// SPDX-License-Identifier: Apache-2.0
//
// A large JPEG file decoded by two threads: the pixels, and the complaints, of one.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>

#include "llava/core/error.h"
#include "llava/image/decode.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

/// How a file is written: sampling of the first component, blocks between restart markers.
struct Form {
  int horizontal = 1;
  int vertical = 1;
  unsigned restart_interval = 0;
  bool is_grey = false;
  bool is_progressive = false;
};

std::string encode_jpeg(const RgbImage& image, const Form& form) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(image.size.width);
  info.image_height = static_cast<JDIMENSION>(image.size.height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  if (form.is_grey) jpeg_set_colorspace(&info, JCS_GRAYSCALE);
  info.comp_info[0].h_samp_factor = form.horizontal;
  info.comp_info[0].v_samp_factor = form.vertical;
  info.restart_interval = form.restart_interval;
  if (form.is_progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (int32_t y = 0; y < image.size.height; ++y) {
    JSAMPROW row = const_cast<uint8_t*>(image.row(y));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const std::unique_ptr<unsigned char, void (*)(void*)> owner(data, std::free);
  return {reinterpret_cast<const char*>(data), size};
}

/// The pixels, or the complaint.
std::string outcome(const std::string& file, int num_threads) {
  try {
    const RgbImage image =
        decode(std::as_bytes(std::span(file)), "photo.jpg", {.num_threads = num_threads});
    return sha256_of(image.pixels);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(SharedDecode, GivesThePixelsOfOneThread) {
  const RgbImage image = synthetic(1203, 1001);
  for (const Form& form :
       {Form{}, Form{.horizontal = 2}, Form{.vertical = 2}, Form{.horizontal = 2, .vertical = 2},
        Form{.horizontal = 4}, Form{.horizontal = 2, .vertical = 2, .restart_interval = 7},
        Form{.is_grey = true}, Form{.horizontal = 2, .vertical = 2, .is_progressive = true}}) {
    const std::string file = encode_jpeg(image, form);
    const std::string alone = outcome(file, 1);
    EXPECT_EQ(alone.size(), 64u) << alone;
    EXPECT_EQ(outcome(file, 2), alone)
        << form.horizontal << "x" << form.vertical << " restart " << form.restart_interval;
  }
}

TEST(SharedDecode, ComplainsAsOneThreadDoes) {
  const std::string file =
      encode_jpeg(synthetic(1203, 1001), {.horizontal = 2, .vertical = 2, .restart_interval = 50});
  for (const double part : {0.2, 0.5, 0.69, 0.8, 0.999}) {
    const auto at = static_cast<std::size_t>(static_cast<double>(file.size()) * part);
    const std::string cut = file.substr(0, at);
    EXPECT_NE(outcome(cut, 1).find("the data end early"), std::string::npos);
    EXPECT_EQ(outcome(cut, 2), outcome(cut, 1)) << part;
    // A marker in the middle of the codes; an ordinary byte that is another.
    for (const std::string& bytes : {std::string("\xFF\xD9"), std::string("\x55")}) {
      std::string damaged = file;
      damaged.replace(at, bytes.size(), bytes);
      EXPECT_EQ(outcome(damaged, 2), outcome(damaged, 1)) << part;
    }
  }
}

}  // namespace
}  // namespace llava::image
