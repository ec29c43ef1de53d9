use super::*;

#[test]
fn signed_losses() {
    let mut datagram = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0xff, 0xff, 0xff];
    datagram.resize(32, 0);
    let received = parse(&datagram).unwrap();
    assert_eq!(received.reports[0].cumulative_lost, -1);
}
