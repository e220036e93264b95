import { Redeem } from '@/home/redeem';

export default function Page() {
  return <Redeem />;
}
