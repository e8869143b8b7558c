/** The spoken code. It begins after a silence: a screen reader is still saying what was pressed. */
const SILENCE = 1.5; // s

export class Sound {
  /** `get` gives a promise of the bytes. */
  constructor(get) {
    Object.assign(this, { get, rate: 1 });
  }

  /** Play from the beginning. Rejects if the sound can't be had or played. */
  async play() {
    this.stop();
    const player = (this.player = new AudioContext());
    try {
      this.bytes ??= this.get();
      const buffer = await player.decodeAudioData((await this.bytes).slice(0)); // which takes the bytes away
      if (player !== this.player) return; // stopped, or begun again
      const source = Object.assign(player.createBufferSource(), { buffer });
      source.playbackRate.value = this.rate;
      source.connect(player.destination);
      source.onended = () => player === this.player && this.stop();
      source.start(player.currentTime + SILENCE);
    } catch (error) {
      this.bytes = null;
      if (player !== this.player) return;
      this.stop();
      throw error;
    }
  }

  stop() {
    this.player?.close();
    this.player = null;
  }
}
