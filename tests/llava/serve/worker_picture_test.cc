// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/worker_picture.h"

#include <gtest/gtest.h>

#include <span>

#include "llava/core/base64.h"
#include "llava/image/decode.h"

namespace llava::serve {
namespace {

using image::ImageSize;

// Source: serving.md 4.4, computed with the original's function.
TEST(WorkerPicture, SizesAreTheOriginals) {
  const auto expect = [](ImageSize size, ImageSize sent) {
    const ImageSize got = worker_picture_size(size);
    EXPECT_EQ(got, sent) << size.width << " x " << size.height << " became " << got.width << " x "
                         << got.height;
  };
  expect({3000, 2000}, {1008, 672});
  expect({2000, 3000}, {672, 1008});
  expect({4000, 1000}, {1344, 336});
  expect({2000, 2000}, {672, 672});
  expect({1345, 1000}, {903, 672});
  expect({1400, 100}, {1344, 96});
  expect({1344, 1344}, {1344, 1344});
  expect({5000, 10}, {1000, 2});
  expect({800, 600}, {800, 600});
  // Where the original fails.
  expect({20000, 1}, {1344, 1});
}

TEST(WorkerPicture, IsAPngOfThatSize) {
  image::RgbImage picture({1400, 100});
  const auto sent_size = [&] {
    const std::string png = decode_base64(encode_worker_picture(picture)).value();
    EXPECT_TRUE(png.starts_with("\x89PNG"));
    return image::probe_size(std::as_bytes(std::span(png)), "picture");
  };
  EXPECT_EQ(sent_size(), (ImageSize{1344, 96}));
  picture = image::RgbImage({7, 5});
  EXPECT_EQ(sent_size(), (ImageSize{7, 5}));
}

}  // namespace
}  // namespace llava::serve
