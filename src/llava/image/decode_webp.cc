// SPDX-License-Identifier: Apache-2.0
//
// WebP through libwebp, lossy and lossless; of an animation the first frame on a transparent
// canvas.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

/// The first frame, released with the object.
class FirstFrame {
 public:
  explicit FirstFrame(const WebPDemuxer* demuxer)
      : is_found_(WebPDemuxGetFrame(demuxer, 1, &frame_) != 0) {}
  ~FirstFrame() {
    if (is_found_) WebPDemuxReleaseIterator(&frame_);
  }
  FirstFrame(const FirstFrame&) = delete;
  FirstFrame& operator=(const FirstFrame&) = delete;

  bool is_complete() const { return is_found_ && frame_.complete != 0; }
  const WebPIterator& operator*() const { return frame_; }

 private:
  WebPIterator frame_{};
  bool is_found_;
};

Demuxer open(const PictureRequest& request) {
  const WebPData data{request.data(), request.size()};
  Demuxer demuxer(WebPDemux(&data));
  if (!demuxer) fail_damaged(request, "WebP", "its chunks are malformed or end early");
  return demuxer;
}

ImageSize canvas_size(const WebPDemuxer* demuxer, const PictureRequest& request) {
  return checked_size(request, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                      WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT));
}

int orientation_of(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk{};
  int orientation = 1;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0) {
    orientation = exif_orientation({chunk.chunk.bytes, chunk.chunk.size});
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  return orientation;
}

}  // namespace

ImageSize probe_webp(const PictureRequest& request) {
  return canvas_size(open(request).get(), request);
}

Picture decode_webp(const PictureRequest& request) {
  const Demuxer demuxer = open(request);
  const ImageSize canvas = canvas_size(demuxer.get(), request);
  const FirstFrame found(demuxer.get());
  if (!found.is_complete())
    fail_damaged(request, "WebP", "the first frame is missing or ends early");
  const WebPIterator& frame = *found;
  const bool is_inside = frame.width > 0 && frame.height > 0 && frame.x_offset >= 0 &&
                         frame.y_offset >= 0 && frame.x_offset <= canvas.width - frame.width &&
                         frame.y_offset <= canvas.height - frame.height;
  WebPBitstreamFeatures features{};
  if (!is_inside || WebPGetFeatures(request.data(), request.size(), &features) != VP8_STATUS_OK) {
    fail_damaged(request, "WebP", "the first frame does not fit the canvas");
  }

  const auto num_pixels = static_cast<size_t>(canvas.width) * canvas.height;
  std::vector<uint8_t> rgba(num_pixels * 4);
  const size_t stride = static_cast<size_t>(canvas.width) * 4;
  const size_t begin =
      static_cast<size_t>(frame.y_offset) * stride + static_cast<size_t>(frame.x_offset) * 4;
  WebPBitstreamFeatures fragment{};
  const bool is_consistent =
      WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &fragment) == VP8_STATUS_OK &&
      fragment.width == frame.width && fragment.height == frame.height;
  if (!is_consistent ||
      WebPDecodeRGBAInto(frame.fragment.bytes, frame.fragment.size, rgba.data() + begin,
                         rgba.size() - begin, static_cast<int>(stride)) == nullptr) {
    fail_damaged(request, "WebP", "the picture data cannot be decoded");
  }

  Picture picture;
  picture.image = RgbImage(canvas);
  if (request.needs_alpha && features.has_alpha != 0) picture.alpha.resize(num_pixels);
  for (size_t i = 0; i < num_pixels; ++i) {
    for (size_t channel = 0; channel < 3; ++channel) {
      picture.image.pixels[i * 3 + channel] = rgba[i * 4 + channel];
    }
    if (!picture.alpha.empty()) picture.alpha[i] = rgba[i * 4 + 3];
  }
  picture.orientation = orientation_of(demuxer.get());
  return picture;
}

}  // namespace llava::image
