// SPDX-License-Identifier: Apache-2.0
//
// A picture from the camera, seen before it is taken.
import { find, openDialog } from '../page/dom';
import { takeFrame } from './raster';

/// Null when the user thinks better of it.
///
/// Throws: Error in words for the user where there is no camera, or none for this page.
export async function photograph(): Promise<Blob | null> {
  if (!navigator.mediaDevices) throw new Error('browsers give the camera to https and localhost only: choose a file instead');
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    throw new Error(`the camera cannot be used (${error instanceof Error ? error.message : error}): allow it, or choose a file instead`);
  }
  const video = find<HTMLVideoElement>('camera-view');
  try {
    video.srcObject = stream;
    await video.play();
    const choice = await openDialog(find<HTMLDialogElement>('camera-dialog'));
    return choice === 'take' ? await takeFrame(video) : null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  }
}
